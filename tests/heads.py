"""EAGLE heads for a tiny language model, in the layouts of the published ones."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


def write_eagle(language_model: Path, folder: Path) -> None:
    """Write a random EAGLE head: one block of the language model's shape behind ``fc``."""
    config = json.loads((language_model / "config.json").read_text())
    width = config["hidden_size"]
    tensors = {"fc.weight": _random(width, 2 * width), "fc.bias": torch.zeros(width)}
    tensors |= _block(language_model, "layers.0.")
    del tensors["layers.0.input_layernorm.weight"]
    _write(folder, {**config, "num_hidden_layers": 1, "bias": True}, tensors)


def write_eagle3(language_model: Path, folder: Path) -> None:
    """Write a random EAGLE-3 head: it reads three layers of the language model, and has a head of its own."""
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
    tensors = {}
    for file in language_model.glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            if name.startswith(first):
                tensors[prefix + name.removeprefix(first)] = tensor.float()
    return tensors


def _random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator) * 0.02


def _write(folder: Path, config: dict[str, object], tensors: dict[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        folder / "model.safetensors",
    )
