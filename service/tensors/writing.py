"""Safetensors files, written one tensor at a time, so that a whole model need not be in memory."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from service.tensors.lazy_tensor import LazyTensor
from service.tensors.safetensors_format import DTYPES

SHARD_BYTES = 4 * 2**30
"""Largest size of one file of a language model that is written."""

_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def write_safetensors(file: Path, tensors: Mapping[str, LazyTensor]) -> None:
    """Write ``file`` with at most one tensor in memory at a time.

    Tensors are loaded in the given order, those of wider dtypes first: this keeps every tensor
    aligned, as the format's own library does.
    """
    ordered = dict(sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize))
    with file.open("wb") as stream:
        stream.write(_encode_header(ordered))
        for name, lazy in ordered.items():
            tensor = lazy.load()
            if tensor.shape != lazy.shape or tensor.dtype != lazy.dtype:
                raise AssertionError(
                    f"bug: {name} is {tuple(tensor.shape)} {tensor.dtype}, "
                    f"not {lazy.shape} {lazy.dtype}"
                )
            if tensor.numel():
                stream.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def write_shards(folder: Path, tensors: Mapping[str, LazyTensor]) -> None:
    """Write a model as Hugging Face does: ``model.safetensors``, or shards and their index."""
    shards = _split_into_shards(tensors)
    if len(shards) == 1:
        write_safetensors(folder / "model.safetensors", shards[0])
        return
    index: dict[str, dict[str, Any]] = {
        "metadata": {"total_size": sum(tensor.bytes for tensor in tensors.values())},
        "weight_map": {},
    }
    for number, shard in enumerate(shards, start=1):
        file_name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_safetensors(folder / file_name, shard)
        index["weight_map"] |= dict.fromkeys(shard, file_name)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _split_into_shards(tensors: Mapping[str, LazyTensor]) -> list[dict[str, LazyTensor]]:
    shards: list[dict[str, LazyTensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        if filled and filled + tensor.bytes > SHARD_BYTES:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += tensor.bytes
    return shards


def flush_to_disk(folder: Path) -> None:
    """Wait until every file below ``folder`` is on the disk, so that it can be renamed safely."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _encode_header(tensors: Mapping[str, LazyTensor]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, tensor in tensors.items():
        entries[name] = {
            "dtype": _DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, position + tensor.bytes],
        }
        position += tensor.bytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
