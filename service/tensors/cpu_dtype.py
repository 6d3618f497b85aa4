"""The faster dtype for matrix products on this CPU, by its instructions."""

from functools import lru_cache

import torch


@lru_cache(maxsize=1)
def has_fast_bfloat16() -> bool:
    """Return whether this CPU has AMX, and so multiplies bfloat16 faster than float32.

    The instructions ``avx512_bf16`` alone do not suffice: a Xeon with them in a virtual machine
    that hid its AMX took 1.5 times as long as in float32 (docs/log/performance.md). A fixed rule,
    unlike a measurement at each start, gives all replicas on one type of CPU the same embeddings.
    """
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
