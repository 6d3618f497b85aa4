"""The published files of the encoder: EVA's ViT, BLIP-2's Q-Former, and MiniGPT-4's checkpoint."""

from typing import Any

import torch

from tests.published.random_tensors import RandomTensors, Tensors
from tests.published.sizes import QUERIES, RANK, SMALL, Sizes


def make_eva_vit(sizes: Sizes = SMALL, seed: int = 1) -> Tensors:
    """Make ``eva_vit_g.pth``: one block more than is run, a head, norms, and no key biases."""
    weights, width = RandomTensors(seed), sizes.vit_width
    tensors: Tensors = {
        "cls_token": weights.vector(width).reshape(1, 1, width),
        "pos_embed": weights.vector(257 * width, 0.5).reshape(1, 257, width),
        "patch_embed.proj.weight": weights.matrix(width, 3, 14, 14),
        "patch_embed.proj.bias": weights.vector(width),
    }
    for layer in range(sizes.vit_layers + 1):
        block = f"blocks.{layer}"
        weights.norm(tensors, f"{block}.norm1", width)
        tensors[f"{block}.attn.q_bias"] = weights.vector(width)
        tensors[f"{block}.attn.v_bias"] = weights.vector(width)
        tensors[f"{block}.attn.qkv.weight"] = weights.matrix(3 * width, width)
        weights.linear(tensors, f"{block}.attn.proj", width, width)
        weights.norm(tensors, f"{block}.norm2", width)
        weights.linear(tensors, f"{block}.mlp.fc1", sizes.vit_mlp, width)
        weights.linear(tensors, f"{block}.mlp.fc2", width, sizes.vit_mlp)
    weights.norm(tensors, "norm", width)
    weights.linear(tensors, "head", 10, width)
    return {name: tensor.half() for name, tensor in tensors.items()}


def make_blip2_model(sizes: Sizes = SMALL, seed: int = 2) -> Tensors:
    """Make ``model`` of ``blip2_pretrained_flant5xxl.pth``, with its text branch, head and t5_proj."""
    weights, width = RandomTensors(seed), sizes.qformer_width
    tensors: Tensors = {"query_tokens": weights.vector(QUERIES * width).reshape(1, QUERIES, width)}
    weights.norm(tensors, "ln_vision", sizes.vit_width)
    bert = "Qformer.bert"
    tensors[f"{bert}.embeddings.position_ids"] = torch.arange(20).reshape(1, 20)
    tensors[f"{bert}.embeddings.word_embeddings.weight"] = weights.matrix(sizes.words, width)
    tensors[f"{bert}.embeddings.position_embeddings.weight"] = weights.matrix(20, width)
    weights.norm(tensors, f"{bert}.embeddings.LayerNorm", width)
    for number in range(sizes.qformer_layers):
        layer = f"{bert}.encoder.layer.{number}"
        kinds = ("attention", "crossattention") if number % 2 == 0 else ("attention",)
        for kind in kinds:
            weights.linear(tensors, f"{layer}.{kind}.self.query", width, width)
            for part in ("key", "value"):
                inputs = sizes.vit_width if kind == "crossattention" else width
                weights.linear(tensors, f"{layer}.{kind}.self.{part}", width, inputs)
            weights.linear(tensors, f"{layer}.{kind}.output.dense", width, width)
            weights.norm(tensors, f"{layer}.{kind}.output.LayerNorm", width)
        for suffix in ("", "_query"):
            weights.linear(tensors, f"{layer}.intermediate{suffix}.dense", sizes.qformer_mlp, width)
            weights.linear(tensors, f"{layer}.output{suffix}.dense", width, sizes.qformer_mlp)
            weights.norm(tensors, f"{layer}.output{suffix}.LayerNorm", width)
    weights.linear(tensors, "Qformer.cls.predictions.transform.dense", width, width)
    tensors["Qformer.cls.predictions.bias"] = weights.vector(sizes.words)
    weights.linear(tensors, "t5_proj", 48, width)
    return tensors


def make_trained_model(family: str, sizes: Sizes = SMALL, seed: int = 3) -> Tensors:
    """Make ``model`` of a MiniGPT-4 checkpoint: the projection and, as published, every buffer."""
    weights = RandomTensors(seed)
    has_qformer = family == "minigpt4-vicuna"
    inputs = sizes.qformer_width if has_qformer else 4 * sizes.vit_width
    width = sizes.llama_width
    tensors: Tensors = {}
    base = "llama_model.base_model.model" if family == "minigpt-v2" else "llama_model"
    for layer in range(sizes.llama_layers):
        attention = f"{base}.model.layers.{layer}.self_attn"
        tensors[f"{attention}.rotary_emb.inv_freq"] = torch.ones(8)
        if family == "minigpt-v2":
            for part in ("q_proj", "v_proj"):
                tensors[f"{attention}.{part}.lora_A.weight"] = weights.matrix(RANK, width)
                tensors[f"{attention}.{part}.lora_B.weight"] = weights.matrix(width, RANK)
    if has_qformer:
        tensors["Qformer.bert.embeddings.position_ids"] = torch.arange(20).reshape(1, 20)
    weights.linear(tensors, "llama_proj", width, inputs)
    return tensors


def make_training_checkpoint(
    model: Tensors, datasets: tuple[str, ...] = ("cc_sbu_align",), **options: float
) -> Any:
    """Make what the original's training saves; ``options`` go into the model's configuration."""
    return {
        "model": model,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-5}]},
        "config": {
            "model": {"arch": "minigpt4", **options},
            "datasets": {name: {} for name in datasets},
        },
        "scaler": {"scale": 65536.0},
        "epoch": 4,
    }
