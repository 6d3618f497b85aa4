"""A tensor whose shape and dtype are known before its values are in memory."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is in a file, or that can be computed from tensors in files.

    Attributes:
        load: Read or compute the values; return a tensor on the CPU that owns its memory. Raises
            :class:`service.errors.CheckpointError` when a file cannot be read.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size of the values in bytes."""
        return self.elements * self.dtype.itemsize
