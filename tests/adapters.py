"""LoRA adapters of a tiny language model, in peft's format."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file


def write_adapter(language_model: Path, folder: Path, seed: int = 1, rank: int = 4) -> Path:
    """Write a random adapter that changes answers visibly."""
    config = json.loads((language_model / "config.json").read_text())
    width = config["hidden_size"]
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for module in ("q", "o"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}_proj"
            tensors[f"{name}.lora_A.weight"] = torch.randn(rank, width, generator=generator)
            tensors[f"{name}.lora_B.weight"] = torch.randn(width, rank, generator=generator)
    folder.mkdir(parents=True)
    facts = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": ["q_proj", "o_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(facts))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder
