"""Number format of the arithmetic in training: bfloat16 on a GPU; on a CPU what it multiplies faster."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from service.tensors.cpu_dtype import is_bfloat16_faster


@contextmanager
def fast_arithmetic(device: str) -> Iterator[None]:
    """Run a loss in the faster format, bfloat16 by autocast; weights and gradients stay as they are.

    Args:
        device: ``cpu``, ``cuda``: a ``torch.device``'s type.
    """
    if device != "cpu":
        with torch.autocast(device, torch.bfloat16):
            yield
    elif is_bfloat16_faster():
        # In bfloat16 the fused attention's backward pass is slow on CPUs.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast(device, torch.bfloat16):
            yield
    else:
        yield
