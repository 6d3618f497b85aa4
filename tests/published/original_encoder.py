"""The original's projected embeddings, computed in plain torch from the published tensors."""

import math
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import gelu, interpolate, layer_norm, linear
from transformers import LlamaForCausalLM

from tests.published.files import PublishedFiles
from tests.published.random_tensors import Tensors

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


def read_pixels(data: bytes, size: int) -> Tensor:
    """Return ``[1, 3, size, size]``: RGB without alpha, resized to a square, normalised."""
    image = Image.open(BytesIO(data)).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    scaled = torch.from_numpy(np.array(image)).float().div(255)
    return ((scaled - MEAN) / STD).permute(2, 0, 1)[None]


def compute_embeddings(files: PublishedFiles, pixels: Tensor, image_size: int) -> Tensor:
    """Return ``[1, visual tokens, hidden]``, as the original's ``encode_img`` does in float32."""
    eva = {name: tensor.float() for name, tensor in files.eva.items()}
    features = _vit(eva, pixels, image_size)
    if files.qformer:
        blip2 = {name: tensor.float() for name, tensor in files.blip2.items()}
        features = _norm(features, blip2, "ln_vision", 1e-5)
        features = _qformer(blip2, features)
    else:
        # The original never loads ln_vision here, but applies it with weight 1 and bias 0.
        features = layer_norm(features, features.shape[-1:], eps=1e-5)[:, 1:]
        rows = [features[:, start::4] for start in range(4)]
        features = torch.cat(rows, dim=-1)
    return _linear(features, files.trained, "llama_proj")


def _vit(eva: Tensors, pixels: Tensor, image_size: int) -> Tensor:
    kernel = eva["patch_embed.proj.weight"]
    patches = torch.nn.functional.unfold(pixels, 14, stride=14).transpose(1, 2)
    hidden = linear(patches, kernel.flatten(1), eva["patch_embed.proj.bias"])
    hidden = torch.cat([eva["cls_token"], hidden], dim=1) + _positions(eva, image_size // 14)
    for layer in range(1 + max(int(n.split(".")[1]) for n in eva if n.startswith("blocks.")) - 1):
        block = f"blocks.{layer}"
        normed = _norm(hidden, eva, f"{block}.norm1", 1e-6)
        q, k, v = linear(normed, eva[f"{block}.attn.qkv.weight"]).chunk(3, dim=-1)
        q, v = q + eva[f"{block}.attn.q_bias"], v + eva[f"{block}.attn.v_bias"]
        hidden = hidden + _linear(_attend(q, k, v, 88), eva, f"{block}.attn.proj")
        normed = _norm(hidden, eva, f"{block}.norm2", 1e-6)
        widened = gelu(_linear(normed, eva, f"{block}.mlp.fc1"))
        hidden = hidden + _linear(widened, eva, f"{block}.mlp.fc2")
    return hidden


def _positions(eva: Tensors, side: int) -> Tensor:
    table = eva["pos_embed"]
    old = math.isqrt(table.shape[1] - 1)
    if side == old:
        return table
    grid = table[0, 1:].T.reshape(1, -1, old, old)
    grid = interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], grid.reshape(1, -1, side * side).transpose(1, 2)], dim=1)


def _qformer(blip2: Tensors, features: Tensor) -> Tensor:
    hidden = _norm(blip2["query_tokens"], blip2, "Qformer.bert.embeddings.LayerNorm", 1e-12)
    layer = 0
    while (name := f"Qformer.bert.encoder.layer.{layer}") + ".attention.self.query.weight" in blip2:
        hidden = _bert_attention(blip2, f"{name}.attention", hidden, hidden)
        if layer % 2 == 0:
            hidden = _bert_attention(blip2, f"{name}.crossattention", hidden, features)
        widened = gelu(_linear(hidden, blip2, f"{name}.intermediate_query.dense"))
        hidden = _norm(
            hidden + _linear(widened, blip2, f"{name}.output_query.dense"),
            blip2,
            f"{name}.output_query.LayerNorm",
            1e-12,
        )
        layer += 1
    return hidden


def _bert_attention(blip2: Tensors, name: str, queries: Tensor, source: Tensor) -> Tensor:
    context = _attend(
        _linear(queries, blip2, f"{name}.self.query"),
        _linear(source, blip2, f"{name}.self.key"),
        _linear(source, blip2, f"{name}.self.value"),
        64,
    )
    mixed = queries + _linear(context, blip2, f"{name}.output.dense")
    return _norm(mixed, blip2, f"{name}.output.LayerNorm", 1e-12)


def _attend(q: Tensor, k: Tensor, v: Tensor, head_width: int) -> Tensor:
    q, k, v = (part.unflatten(-1, (-1, head_width)).transpose(1, 2) for part in (q, k, v))
    weights = (q @ k.transpose(2, 3) / math.sqrt(head_width)).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def _linear(values: Tensor, tensors: Tensors, name: str) -> Tensor:
    return linear(values, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _norm(values: Tensor, tensors: Tensors, name: str, eps: float) -> Tensor:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return layer_norm(values, values.shape[-1:], weight, bias, eps)


def add_lora(model: LlamaForCausalLM, trained: Tensors, alpha: float = 16) -> None:
    """Compute MiniGPT-v2's updates beside the base weights, as peft does."""
    for layer in range(model.config.num_hidden_layers):
        attention = model.model.layers[layer].self_attn
        for part in ("q_proj", "v_proj"):
            name = f"llama_model.base_model.model.model.layers.{layer}.self_attn.{part}.lora_"
            down, up = trained[f"{name}A.weight"], trained[f"{name}B.weight"]
            getattr(attention, part).register_forward_hook(
                lambda module, inputs, output, down=down, up=up: (
                    output + alpha / len(down) * (inputs[0] @ down.T @ up.T)
                )
            )
