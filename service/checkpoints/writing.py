"""Safetensors files written one tensor at a time, so that a whole model need not be in memory."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from service.checkpoints.reading import SAFETENSORS_DTYPES

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

    The data is on the disk when this returns (``fsync``), so that a rename afterwards cannot
    overtake it.
    """
    # Wide types first keeps every tensor aligned, as the format's own library does it.
    ordered = sorted(tensors, key=lambda tensor: (-tensor.dtype.itemsize, tensor.name))
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
        stream.flush()
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
