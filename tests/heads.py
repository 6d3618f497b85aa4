"""EAGLE heads for a tiny language model, in the layouts of the published ones."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

STEPS = 80


def train_eagle(language_model: Path, folder: Path, prompt: list[int]) -> float:
    """Train an EAGLE head (arXiv:2401.15077) on the language model's greedy answer.

    The head reads a token and the hidden state before it, and gives the next hidden state. The language model is a
    random one, so that a head cannot learn what holds for other prompts.

    Returns:
        The share of tokens, in training, that the head and the language model agree on.
    """
    torch.manual_seed(0)
    llama: Any = LlamaForCausalLM.from_pretrained(language_model, dtype=torch.float32)
    llama.requires_grad_(False)
    tokens, hidden = _answer(llama, prompt)
    head = _Head(llama.config)
    head.block.load_state_dict(llama.model.layers[0].state_dict(), strict=False)
    optimiser = torch.optim.Adam(head.parameters(), lr=2e-3)
    wanted = llama.lm_head(hidden[:, 1:]).argmax(-1)
    for _ in range(STEPS):
        given = head(llama.model, tokens[:, 1:], hidden[:, :-1])
        logits = llama.lm_head(given)
        loss = nn.functional.cross_entropy(logits[0], wanted[0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    tensors = {f"layers.0.{name}": tensor for name, tensor in head.block.state_dict().items()}
    tensors["fc.weight"] = head.fc.weight.detach()
    config = json.loads((language_model / "config.json").read_text())
    _write(folder, {**config, "num_hidden_layers": 1}, tensors)
    return float((logits.argmax(-1) == wanted).float().mean())


class _Head(nn.Module):
    """One block of the language model behind a layer that joins the token and the hidden state."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
        self.block = LlamaDecoderLayer(config, 0)
        self.block.input_layernorm = nn.Identity()  # type: ignore[assignment]

    def forward(self, llama: Any, tokens: Tensor, hidden: Tensor) -> Tensor:
        joined = self.fc(torch.cat([llama.embed_tokens(tokens), hidden], dim=-1))
        positions = torch.arange(tokens.shape[1])[None]
        rotary = llama.rotary_emb(joined, positions)
        output: Any = self.block(joined, position_embeddings=rotary, position_ids=positions)
        return output[0] if isinstance(output, tuple) else output


@torch.inference_mode()
def _answer(llama: Any, prompt: list[int], length: int = 24) -> tuple[Tensor, Tensor]:
    """Return prompt and answer ``[1, tokens]``, and the hidden states before ``lm_head``."""
    start = torch.tensor([prompt])
    tokens = llama.generate(start, max_new_tokens=length, do_sample=False, pad_token_id=0)
    hidden = llama.model(tokens).last_hidden_state
    return tokens.clone(), hidden.clone()


def write_eagle3(language_model: Path, folder: Path) -> None:
    """Write a random EAGLE-3 head, which reads three layers and has its own ``lm_head``."""
    config = json.loads((language_model / "config.json").read_text())
    width, vocabulary = config["hidden_size"], config["vocab_size"]
    tensors = {"fc.weight": _random(width, 3 * width), "norm.weight": torch.ones(width)}
    tensors |= _block(language_model, "midlayer.")
    for name in ("q", "k", "v"):
        key = f"midlayer.self_attn.{name}_proj.weight"
        tensors[key] = torch.cat([tensors[key], _random(*tensors[key].shape)], dim=1)
    tensors["midlayer.hidden_norm.weight"] = torch.ones(width)
    tensors["lm_head.weight"] = _random(vocabulary, width)
    config |= {
        "architectures": ["LlamaForCausalLMEagle3"],
        "num_hidden_layers": 1,
        "draft_vocab_size": vocabulary,
        "eagle_aux_hidden_state_layer_ids": [0, 1, 2],
        "tie_word_embeddings": False,
    }
    _write(folder, config, tensors)


def _block(language_model: Path, prefix: str) -> dict[str, Tensor]:
    """The first block of the language model, under another prefix."""
    first = "model.layers.0."
    return {
        prefix + name.removeprefix(first): tensor.float()
        for file in language_model.glob("*.safetensors")
        for name, tensor in load_file(file).items()
        if name.startswith(first)
    }


def _random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator) * 0.02


def _write(folder: Path, config: dict[str, object], tensors: dict[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(stored, folder / "model.safetensors")
