"""Top-p sampling on a CPU that reads the likeliest tokens instead of sorting the vocabulary.

vLLM sorts each row of the logits in each step. That took a quarter of the engine's time with 64
answers of the demo model, and a quarter of a second for each step with Vicuna's 32,000 tokens.
Top-p keeps few tokens, which are nearly always among the likeliest 64. On a GPU, vLLM has kernels
for top-p.

Replaces: ``apply_top_k_top_p_pytorch`` in ``vllm.v1.sample.ops.topk_topp_sampler``.
Why no hook: a logits processor (entry point ``vllm.logits_processors``) runs before the sampler.
    The sampler
would still sort, unless each request's ``top_p`` were hidden from it. With speculative decoding,
    vLLM does not load
logits processors.
Test: ``tests/vllm_patches/test_cpu_top_p.py`` compares with the function replaced, and runs vLLM's
    sampler.
Upstream: a registry for the sampler's top-k/top-p implementation by platform, as there is for
    attention.
"""

import torch
from torch import Tensor
from vllm.v1.sample.ops import topk_topp_sampler as vllm_sampler

CANDIDATES = 64
"""Number of likeliest tokens that are read first. A row that needs more tokens is sorted."""

sort_vocabulary = vllm_sampler.apply_top_k_top_p_pytorch
"""vLLM's function, with the same arguments as :func:`keep_top_p`."""


def install() -> None:
    """Make vLLM's sampler on CPUs use :func:`keep_top_p`. Idempotent."""
    vllm_sampler.apply_top_k_top_p_pytorch = keep_top_p


def keep_top_p(
    logits: Tensor, k: Tensor | None, p: Tensor | None, allow_cpu_sync: bool = False
) -> Tensor:
    """Set the logits outside of top-k and top-p to minus infinity, like vLLM's function.

    Args:
        logits: ``[rows, vocabulary]``, changed in place.
        k: Number of likeliest tokens to keep ``[rows]``. If it is given, vLLM's function is called.
        p: Probability to keep ``[rows]``: the likeliest tokens whose sum reaches it.
        allow_cpu_sync: Passed on to vLLM's function.
    """
    if p is None or k is not None or logits.shape[-1] <= CANDIDATES:
        return sort_vocabulary(logits, k, p, allow_cpu_sync)
    likeliest, tokens = logits.topk(CANDIDATES, dim=-1)
    probabilities = (likeliest - logits.logsumexp(-1, keepdim=True)).exp()
    cumulative = probabilities.cumsum(-1)
    kept = likeliest.masked_fill(cumulative - probabilities >= p.unsqueeze(-1), -torch.inf)
    needs_more = cumulative[:, -1] < p
    others = _sort_rows(logits[needs_more], p[needs_more]) if bool(needs_more.any()) else None
    logits.fill_(-torch.inf).scatter_(-1, tokens, kept)
    if others is not None:
        logits[needs_more] = others
    return logits


def _sort_rows(logits: Tensor, p: Tensor) -> Tensor:
    """Return the rows that need more tokens than the candidates.

    With ``p`` 1, a row keeps all tokens.
    """
    filtered = p < 1
    if bool(filtered.any()):
        logits[filtered] = sort_vocabulary(logits[filtered], None, p[filtered])
    return logits
