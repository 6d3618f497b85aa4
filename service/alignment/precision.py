"""Number format of the arithmetic in training: bfloat16 on a GPU; on a CPU what it multiplies faster."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

_ROWS, _WIDTH = 2048, 512
_TRIES = 5


@contextmanager
def fast_arithmetic(device: str) -> Iterator[None]:
    """Run a loss in the faster format, bfloat16 by autocast; weights and gradients stay as they are.

    Args:
        device: ``cpu``, ``cuda``: a ``torch.device``'s type.
    """
    if device != "cpu":
        with torch.autocast(device, torch.bfloat16):
            yield
    elif bfloat16_pays():
        # In bfloat16 the fused attention's backward pass is slow on CPUs.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast(device, torch.bfloat16):
            yield
    else:
        yield


@lru_cache(maxsize=1)
def bfloat16_pays() -> bool:
    """Whether this CPU multiplies matrices faster in bfloat16 than in float32.

    Having instructions for it does not say so: a Xeon with AMX is several times faster, one whose
    AMX is hidden by its virtual machine takes twice as long as in float32. Measured once a process,
    in a few milliseconds.
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
