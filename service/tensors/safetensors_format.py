"""The safetensors format: its dtype names, and reading a file's tensors one at a time."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""torch's dtype for each name in a header."""


def read_safetensors(file: Path) -> dict[str, LazyTensor]:
    """Read the header of a safetensors file; raises :class:`CheckpointError` when it is damaged."""
    tensors = {}
    try:
        with safe_open(file, framework="pt") as content:
            for name in content.keys():  # noqa: SIM118 - the handle has keys() but is not iterable
                part = content.get_slice(name)
                dtype = DTYPES[part.get_dtype()]
                tensors[name] = LazyTensor(tuple(part.get_shape()), dtype, _loader(file, name))
    except (SafetensorError, KeyError, OSError) as error:
        raise CheckpointError(f"{file} cannot be read as safetensors: {error}") from error
    return tensors


def _loader(file: Path, name: str) -> Callable[[], Tensor]:
    def load() -> Tensor:
        # Closing the file after each tensor unmaps it, so its pages do not stay in memory.
        with safe_open(file, framework="pt") as content:
            return content.get_tensor(name).clone()

    return load
