"""The facts of a model folder: parameters, hashes, and the memory that serving it needs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from service.errors import CheckpointError, ModelFolderError
from service.model_folder.layout import ModelFolder
from service.model_folder.quantisation import describe_quantisation, read_quantisation
from service.model_folder.vision_config import WEIGHTS_FILE, VisionConfig, load_vision_config
from service.tensors.hashing import sha256
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import read_checkpoint

SERVED_ITEMSIZE = torch.bfloat16.itemsize
"""Bytes of one weight when served: the engine and the encoder run in 16 bits by default."""


@dataclass(frozen=True)
class Part:
    """Parameters of one part of the model.

    Attributes:
        dtypes: Number of stored values by dtype. In a quantised model, one value holds several
            weights.
        served_bytes: Memory when served: numbers of 16 and 32 bits take 16 bits; others stay as
            stored.
    """

    name: str
    parameters: int
    dtypes: Mapping[str, int]
    served_bytes: int


@dataclass(frozen=True)
class Inspection:
    """The facts that ``inspect`` prints.

    Attributes:
        language_model: Its ``config.json``; None when the language model is a hub id.
        cache_bytes_per_token: Size of one token in the engine's key-value cache; None as above.
        vision_sha256: Hash of the present ``vision/model.safetensors``.
    """

    folder: ModelFolder
    vision: VisionConfig
    parts: list[Part]
    language_model: Mapping[str, Any] | None
    cache_bytes_per_token: int | None
    vision_sha256: str

    @property
    def weight_bytes(self) -> int:
        """Memory of all known weights when served."""
        return sum(part.served_bytes for part in self.parts)

    @property
    def quantisation(self) -> str | None:
        """The language model's quantisation; None without one, or if the model is on the hub."""
        if self.language_model is None or not self.folder.language_model_is_local:
            return None
        found = read_quantisation(Path(self.folder.language_model), self.language_model)
        return None if found is None else describe_quantisation(found)


def inspect_folder(root: Path) -> Inspection:
    """Read a model folder's configurations and tensor headers, and hash the vision weights.

    Raises:
        ModelFolderError: it is not a model folder, or a part is missing or unreadable.
    """
    folder = ModelFolder.open(root)
    config = load_vision_config(folder.vision)
    weights = folder.vision / WEIGHTS_FILE
    try:
        parts = _count_vision_parts(read_checkpoint(weights).tensors)
        language_model, cache = None, None
        if folder.language_model_is_local:
            path = Path(folder.language_model)
            language_model = json.loads((path / "config.json").read_text())
            parts.append(_count_part("language model", read_checkpoint(path).tensors))
            cache = _cache_bytes_per_token(language_model)
        elif Path(folder.index.language_model).is_absolute():
            raise ModelFolderError(
                f"The language model {folder.index.language_model} is not there any more."
            )
    except (CheckpointError, OSError, ValueError, KeyError) as error:
        raise ModelFolderError(f"{root} is incomplete: {error}") from error
    return Inspection(folder, config, parts, language_model, cache, sha256(weights))


def _count_vision_parts(tensors: Mapping[str, LazyTensor]) -> list[Part]:
    names = {
        "vit": "ViT",
        "backbone": "vision model",
        "ln_vision": "ln_vision",
        "projection": "projection",
    }
    groups: dict[str, dict[str, LazyTensor]] = {}
    for name, tensor in tensors.items():
        groups.setdefault(names.get(name.split(".")[0], "Q-Former"), {})[name] = tensor
    return [
        _count_part(name, groups[name])
        for name in ("ViT", "vision model", "ln_vision", "Q-Former", "projection")
        if name in groups
    ]


def _count_part(name: str, tensors: Mapping[str, LazyTensor]) -> Part:
    dtypes: dict[str, int] = {}
    for tensor in tensors.values():
        dtype = str(tensor.dtype).removeprefix("torch.")
        dtypes[dtype] = dtypes.get(dtype, 0) + tensor.elements
    served = sum(map(_count_served_bytes, tensors.values()))
    return Part(name, sum(dtypes.values()), dtypes, served)


def _count_served_bytes(tensor: LazyTensor) -> int:
    if tensor.dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        return tensor.elements * SERVED_ITEMSIZE
    return tensor.bytes


def _cache_bytes_per_token(config: Mapping[str, Any]) -> int:
    heads = config["num_attention_heads"]
    head_width = config.get("head_dim") or config["hidden_size"] // heads
    key_value_heads = config.get("num_key_value_heads") or heads
    values_per_layer = 2 * key_value_heads * head_width  # keys and values
    return int(config["num_hidden_layers"] * values_per_layer * SERVED_ITEMSIZE)
