"""``inspect``: what a model folder holds, where it comes from, and the memory it needs to serve."""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from service.errors import CheckpointError, ModelFolderError
from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import WEIGHTS_FILE, VisionConfig, load_vision_config
from service.tensors.byte_size import format_bytes
from service.tensors.hashing import sha256
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import read_checkpoint

SERVED_ITEMSIZE = torch.bfloat16.itemsize
"""Bytes a weight takes when served: the engine and the encoder run in 16 bits unless told otherwise."""


@dataclass(frozen=True)
class Part:
    """Parameters of one part of the model.

    Attributes:
        dtypes: As stored, each with its number of parameters.
    """

    name: str
    parameters: int
    dtypes: Mapping[str, int]


@dataclass(frozen=True)
class Inspection:
    """What ``inspect`` found.

    Attributes:
        language_model: None where it is a hub id, so that only its name is known.
        cache_bytes_per_token: Of the engine's key-value cache; None as above.
        vision_sha256: Of ``vision/model.safetensors`` as it is now.
    """

    folder: ModelFolder
    vision: VisionConfig
    parts: list[Part]
    language_model: Mapping[str, Any] | None
    cache_bytes_per_token: int | None
    vision_sha256: str

    @property
    def weight_bytes(self) -> int:
        """Memory of all known weights as served."""
        return SERVED_ITEMSIZE * sum(part.parameters for part in self.parts)


def inspect(root: Path) -> Inspection:
    """Look at a model folder; reads headers and configurations, and hashes the vision weights.

    Raises:
        ModelFolderError: it is no model folder, or a part is missing or unreadable.
    """
    folder = ModelFolder.open(root)
    config = load_vision_config(folder.vision)
    weights = folder.vision / WEIGHTS_FILE
    try:
        parts = _vision_parts(read_checkpoint(weights).tensors)
        language_model, cache = None, None
        if folder.language_model_is_local:
            path = Path(folder.language_model)
            language_model = json.loads((path / "config.json").read_text())
            parts.append(_part("language model", read_checkpoint(path).tensors))
            cache = _cache_bytes_per_token(language_model)
        elif Path(folder.index.language_model).is_absolute():
            raise ModelFolderError(
                f"The language model {folder.index.language_model} is not there any more."
            )
    except (CheckpointError, OSError, ValueError, KeyError) as error:
        raise ModelFolderError(f"{root} is incomplete: {error}") from error
    return Inspection(folder, config, parts, language_model, cache, sha256(weights))


def _vision_parts(tensors: Mapping[str, LazyTensor]) -> list[Part]:
    names = {"vit": "ViT", "ln_vision": "ln_vision", "projection": "projection"}
    groups: dict[str, dict[str, LazyTensor]] = {}
    for name, entry in tensors.items():
        groups.setdefault(names.get(name.split(".")[0], "Q-Former"), {})[name] = entry
    return [
        _part(name, groups[name])
        for name in ("ViT", "ln_vision", "Q-Former", "projection")
        if name in groups
    ]


def _part(name: str, tensors: Mapping[str, LazyTensor]) -> Part:
    dtypes: dict[str, int] = {}
    for entry in tensors.values():
        dtype = str(entry.dtype).removeprefix("torch.")
        dtypes[dtype] = dtypes.get(dtype, 0) + entry.elements
    return Part(name, sum(dtypes.values()), dtypes)


def _cache_bytes_per_token(config: Mapping[str, Any]) -> int:
    heads = config["num_attention_heads"]
    head_width = config.get("head_dim") or config["hidden_size"] // heads
    kept = config.get("num_key_value_heads") or heads
    keys_and_values = 2
    return int(keys_and_values * config["num_hidden_layers"] * kept * head_width * SERVED_ITEMSIZE)


def describe(found: Inspection) -> Iterator[str]:
    """The inspection in lines for people."""
    index, vision = found.folder.index, found.vision
    yield f"family            {index.family}"
    yield f"image             {vision.image_size} px, {vision.visual_tokens} embeddings of {vision.hidden_size}"
    yield f"ViT               {vision.vit.num_hidden_layers} layers of {vision.vit.hidden_size}"
    if vision.qformer:
        yield (
            f"Q-Former          {vision.qformer.num_hidden_layers} layers of "
            f"{vision.qformer.hidden_size}, {vision.qformer.query_tokens} query tokens"
        )
    yield f"language model    {found.folder.language_model}"
    if found.language_model:
        config = found.language_model
        yield (
            f"                  {config['num_hidden_layers']} layers of {config['hidden_size']}, "
            f"vocabulary {config['vocab_size']}, "
            f"context {config.get('max_position_embeddings', 'not stated')}"
        )
    for part in found.parts:
        dtypes = ", ".join(part.dtypes)
        yield f"{part.name:<17} {part.parameters:,} parameters, {dtypes}"
    yield f"sha256            {found.vision_sha256}  {index.vision}/{WEIGHTS_FILE}"
    yield from _provenance(found)
    yield from _memory(found)


def _provenance(found: Inspection) -> Iterator[str]:
    provenance = found.folder.index.provenance
    if provenance is None:
        return
    yield f"made by           {provenance.made_by}"
    for name, source in provenance.sources.items():
        where = source.get("path") or source.get("hub_id") or source.get("name", "")
        maker = source.get("made_by", "")
        known = ", ".join(filter(None, (where, maker and f"made by {maker}")))
        yield f"made from         {source.get('sha256', '-')}  {name}" + (known and f" ({known})")
        if notes := source.get("notes"):
            yield f"                  {notes}"
    for note in provenance.notes:
        yield f"note              {note}"


def _memory(found: Inspection) -> Iterator[str]:
    yield f"memory to serve   {format_bytes(found.weight_bytes)} of weights in 16 bits"
    if found.cache_bytes_per_token is None:
        yield "                  and the language model's, which is on the hub"
    else:
        cache = format_bytes(1000 * found.cache_bytes_per_token)
        yield f"                  and {cache} of cache for each 1,000 tokens in flight"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("folder", type=Path, help="a model folder")


def run(arguments: argparse.Namespace) -> None:
    """Print what the folder holds."""
    for line in describe(inspect(arguments.folder)):
        print(line)
