"""Safetensors files written one tensor at a time, so that a whole model need not be in memory."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.tensors.reading import SAFETENSORS_DTYPES

SHARD_BYTES = 4 * 2**30
"""Largest file of a language model that is written."""

_DTYPE_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor that will be in an output file.

    Attributes:
        make: Reads or computes it, when its turn comes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor]

    @property
    def bytes(self) -> int:
        """Size in the file."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def write_safetensors(file: Path, tensors: Sequence[PlannedTensor]) -> None:
    """Write ``file``; at any time at most one of the tensors is in memory.

    They are made in the given order, those of wider types first.
    """
    # Wide types first keeps every tensor aligned, as the format's own library does it.
    ordered = sorted(tensors, key=lambda tensor: -tensor.dtype.itemsize)
    with file.open("wb") as stream:
        stream.write(_header(ordered))
        for planned in ordered:
            tensor = planned.make()
            if tensor.shape != planned.shape or tensor.dtype != planned.dtype:
                raise AssertionError(
                    f"{planned.name} came out as {tuple(tensor.shape)} {tensor.dtype}: a bug"
                )
            if tensor.numel():
                stream.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def write_shards(folder: Path, tensors: Iterable[PlannedTensor]) -> None:
    """Write a model as Hugging Face's libraries do: ``model.safetensors``, or shards and their index."""
    shards = _shards(tensors)
    if len(shards) == 1:
        write_safetensors(folder / "model.safetensors", shards[0])
        return
    index: dict[str, dict[str, Any]] = {
        "metadata": {"total_size": sum(tensor.bytes for shard in shards for tensor in shard)},
        "weight_map": {},
    }
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_safetensors(folder / name, shard)
        index["weight_map"] |= {tensor.name: name for tensor in shard}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _shards(tensors: Iterable[PlannedTensor]) -> list[list[PlannedTensor]]:
    shards: list[list[PlannedTensor]] = [[]]
    filled = 0
    for tensor in tensors:
        if filled and filled + tensor.bytes > SHARD_BYTES:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += tensor.bytes
    return shards


def flush_to_disk(folder: Path) -> None:
    """Wait until every file below ``folder`` is on the disk, so that a rename cannot overtake them."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _header(tensors: Sequence[PlannedTensor]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for planned in tensors:
        entries[planned.name] = {
            "dtype": _DTYPE_NAMES[planned.dtype],
            "shape": list(planned.shape),
            "data_offsets": [position, position + planned.bytes],
        }
        position += planned.bytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
