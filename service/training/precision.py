"""The number format of training: bfloat16 on a GPU and on a CPU with AMX, else float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from service.tensors.cpu_dtype import has_fast_bfloat16


@contextmanager
def fast_arithmetic(device: str) -> Iterator[None]:
    """Compute a loss in the faster format; weights and gradients keep theirs.

    Args:
        device: A ``torch.device``'s type: ``cpu`` or ``cuda``.
    """
    if device != "cpu":
        with torch.autocast(device, torch.bfloat16):
            yield
    elif has_fast_bfloat16():
        # The fused attention's backward pass is slow in bfloat16 on CPUs.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast(device, torch.bfloat16):
            yield
    else:
        yield
