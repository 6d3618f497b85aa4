"""The original's training loss in plain torch, from the published files, with a gradient."""

from collections.abc import Sequence
from dataclasses import dataclass

import sentencepiece
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, silu, softmax
from transformers import LlamaConfig

from tests.published.files import IMAGE_SIZES, PublishedFiles
from tests.published.original_encoder import compute_embeddings, read_pixels
from tests.published.random_tensors import Tensors

ANSWERS = {
    # Before the image, after the image with the instruction in it, end mark.
    "minigpt4-vicuna": ("###Human: <Img>", "</Img> {} ###Assistant: ", "###"),
    "minigpt4-llama2": ("[INST] <Img>", "</Img> {} [/INST] ", "</s>"),
    "minigpt-v2": ("[INST] <Img>", "</Img> {} [/INST]", "</s>"),
}


@dataclass(frozen=True)
class Example:
    """One sample; without an instruction it is stage 1's."""

    image: bytes
    text: str
    instruction: str | None = None


def compute_loss(
    files: PublishedFiles, llama: Tensors, config: LlamaConfig, examples: Sequence[Example]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a batch and the gradients of the projection, in float32.

    Each sample is computed alone: the original's padding changes nothing but the arithmetic.
    """
    names = ("llama_proj.weight", "llama_proj.bias")
    learning = {name: files.trained[name].clone().requires_grad_() for name in names}
    changed = PublishedFiles(**{**vars(files), "trained": {**files.trained, **learning}})
    size = IMAGE_SIZES[files.family]
    losses, count = torch.zeros(()), 0
    for example in examples:
        image = compute_embeddings(changed, read_pixels(example.image, size), size)[0]
        before, after, target = _tokenize(files, example)
        table = llama["model.embed_tokens.weight"]
        inputs = torch.cat([table[before], image, table[after], table[target]])
        logits = _run_llama(llama, config, inputs)[-len(target) - 1 : -1]
        losses = losses + cross_entropy(logits, torch.tensor(target), reduction="sum")
        count += len(target)
    loss = losses / count
    gradients = torch.autograd.grad(loss, list(learning.values()))
    return loss.detach(), {
        name.replace("llama_proj", "projection"): gradient
        for name, gradient in zip(names, gradients, strict=True)
    }


def _tokenize(files: PublishedFiles, example: Example) -> tuple[list[int], list[int], list[int]]:
    model = str(files.language_model / "tokenizer.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=model)

    def encode(text: str) -> list[int]:
        whole = text.removesuffix("</s>")
        return [*processor.encode(whole), *([2] if whole != text else [])]

    if example.instruction is None:
        return [1], [], encode(example.text + "\n")
    before, after, end = ANSWERS[files.family]
    after = after.format(example.instruction)
    return [1, *encode(before)], encode(after), encode(example.text + end)


def _run_llama(tensors: Tensors, config: LlamaConfig, hidden: Tensor) -> Tensor:
    """Return the logits ``[length, vocabulary]`` of inputs ``[length, width]``."""
    length, heads = len(hidden), config.num_attention_heads
    width = config.hidden_size // heads
    frequencies = 10_000.0 ** -(torch.arange(0, width, 2).float() / width)
    angles = torch.arange(length)[:, None] * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    mask = torch.full((length, length), -torch.inf).triu(1)
    eps = config.rms_norm_eps
    for layer in range(config.num_hidden_layers):
        name = f"model.layers.{layer}"
        normed = _rms(hidden, tensors[f"{name}.input_layernorm.weight"], eps)
        q, k, v = (
            linear(normed, tensors[f"{name}.self_attn.{part}_proj.weight"])
            .unflatten(-1, (heads, width))
            .transpose(0, 1)
            for part in "qkv"
        )
        q, k = _rotate(q, angles), _rotate(k, angles)
        weights = softmax(q @ k.transpose(1, 2) / width**0.5 + mask, dim=-1)
        mixed = (weights @ v).transpose(0, 1).flatten(1)
        hidden = hidden + linear(mixed, tensors[f"{name}.self_attn.o_proj.weight"])
        normed = _rms(hidden, tensors[f"{name}.post_attention_layernorm.weight"], eps)
        gate = silu(linear(normed, tensors[f"{name}.mlp.gate_proj.weight"]))
        widened = gate * linear(normed, tensors[f"{name}.mlp.up_proj.weight"])
        hidden = hidden + linear(widened, tensors[f"{name}.mlp.down_proj.weight"])
    return linear(_rms(hidden, tensors["model.norm.weight"], eps), tensors["lm_head.weight"])


def _rms(values: Tensor, weight: Tensor, eps: float) -> Tensor:
    return values * (values.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * weight


def _rotate(values: Tensor, angles: Tensor) -> Tensor:
    first, second = values.chunk(2, dim=-1)
    return values * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()
