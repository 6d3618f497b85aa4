"""The faster dtype for matrix products on this CPU, by measurement."""

import time
from functools import lru_cache

import torch

_ROWS, _WIDTH = 2048, 512
_TRIES = 5


@lru_cache(maxsize=1)
def is_bfloat16_faster() -> bool:
    """Return whether this CPU multiplies matrices faster in bfloat16 than in float32.

    Instructions for bfloat16 do not decide this: a Xeon with ``avx512_bf16`` in a virtual machine
    that hid its AMX took twice as long as in float32. The measurement takes a tenth of a second,
    once in a process.
    """
    return _time_product(torch.bfloat16) < _time_product(torch.float32)


def _time_product(dtype: torch.dtype) -> float:
    """Time one matrix product in seconds; the shortest of several tries.

    The first try also compiles kernels, and other processes may slow down any of them.
    """
    left, right = torch.ones(_ROWS, _WIDTH, dtype=dtype), torch.ones(_WIDTH, _WIDTH, dtype=dtype)
    tries = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        left @ right
        tries.append(time.perf_counter() - started)
    return min(tries)
