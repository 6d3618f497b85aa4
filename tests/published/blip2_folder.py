"""Hugging Face folders of BLIP-2 and InstructBLIP, with the tensors of the original's files."""

import json
from pathlib import Path

import torch

from tests.published.llama_folder import write_shards
from tests.published.random_tensors import Tensors
from tests.published.sizes import QFORMER_HEADS, QFORMER_WIDTH, VIT_HEADS, VIT_LAYERS


def write_blip2_folder(folder: Path, eva: Tensors, blip2: Tensors, instruct: bool = False) -> None:
    """Write a folder with this ViT, ln_vision and Q-Former, and an unneeded language model."""
    tensors: Tensors = {
        "query_tokens": blip2["query_tokens"],
        "vision_model.post_layernorm.weight": blip2["ln_vision.weight"],
        "vision_model.post_layernorm.bias": blip2["ln_vision.bias"],
        "vision_model.embeddings.class_embedding": eva["cls_token"],
        "vision_model.embeddings.position_embedding": eva["pos_embed"],
        "vision_model.embeddings.patch_embedding.weight": eva["patch_embed.proj.weight"],
        "vision_model.embeddings.patch_embedding.bias": eva["patch_embed.proj.bias"],
        "language_projection.weight": torch.ones(4, QFORMER_WIDTH),
        "language_projection.bias": torch.ones(4),
        "language_model.shared.weight": torch.ones(5, 4),
    }
    for layer in range(VIT_LAYERS):
        block, new = f"blocks.{layer}", f"vision_model.encoder.layers.{layer}"
        for old_part, new_part in (
            ("norm1", "layer_norm1"),
            ("norm2", "layer_norm2"),
            ("attn.proj", "self_attn.projection"),
            ("mlp.fc1", "mlp.fc1"),
            ("mlp.fc2", "mlp.fc2"),
        ):
            for kind in ("weight", "bias"):
                tensors[f"{new}.{new_part}.{kind}"] = eva[f"{block}.{old_part}.{kind}"]
        tensors[f"{new}.self_attn.qkv.weight"] = eva[f"{block}.attn.qkv.weight"]
        query, value = eva[f"{block}.attn.q_bias"], eva[f"{block}.attn.v_bias"]
        tensors[f"{new}.self_attn.qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])
    for name, tensor in blip2.items():
        if name.startswith("Qformer.bert.encoder."):
            renamed = name.replace("Qformer.bert", "qformer").replace(
                "attention.self.", "attention.attention."
            )
            text = ".intermediate." in renamed or ".output." in renamed.replace(
                "attention.output.", ""
            )
            if instruct or not text:
                tensors[renamed] = tensor
    norm = "qformer.embeddings.layernorm" if instruct else "qformer.layernorm"
    for kind in ("weight", "bias"):
        tensors[f"{norm}.{kind}"] = blip2[f"Qformer.bert.embeddings.LayerNorm.{kind}"]
    if instruct:
        tensors["qformer.embeddings.word_embeddings.weight"] = torch.ones(30, QFORMER_WIDTH)
        tensors["qformer.embeddings.position_embeddings.weight"] = torch.ones(20, QFORMER_WIDTH)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "instructblip" if instruct else "blip-2",
        "vision_config": {"num_attention_heads": VIT_HEADS, "layer_norm_eps": 1e-5},
        "qformer_config": {"num_attention_heads": QFORMER_HEADS},
    }
    (folder / "config.json").write_text(json.dumps(config))
    write_shards(folder, {name: tensor.contiguous() for name, tensor in tensors.items()}, False)
