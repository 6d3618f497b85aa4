"""The number format that a CPU multiplies faster, measured and not guessed from its instructions."""

import time
from functools import lru_cache

import torch

_ROWS, _WIDTH = 2048, 512
_TRIES = 5


@lru_cache(maxsize=1)
def bfloat16_pays() -> bool:
    """Whether this CPU multiplies matrices faster in bfloat16 than in float32.

    Having instructions for it does not say so: a Xeon with ``avx512_bf16`` whose AMX was hidden by its
    virtual machine took twice as long as in float32. Measured once a process, in a tenth of a second.
    """
    return _seconds(torch.bfloat16) < _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    """The shortest of some tries, in seconds: others use the machine too, and kernels are compiled first."""
    left, right = torch.ones(_ROWS, _WIDTH, dtype=dtype), torch.ones(_WIDTH, _WIDTH, dtype=dtype)
    tries = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        left @ right
        tries.append(time.perf_counter() - started)
    return min(tries)
