"""On a CPU: top-p sampling that looks at the likeliest tokens instead of sorting the vocabulary.

vLLM sorts every row of the logits at each step: a quarter of the engine's time with 64 answers of the demo
model, and a quarter of a second for each step with Vicuna's 32,000 tokens. The tokens that top-p keeps are few,
and nearly always among the likeliest 64. On a GPU vLLM has kernels for it.

Replaces: ``apply_top_k_top_p_pytorch`` in ``vllm.v1.sample.ops.topk_topp_sampler``.
Why no hook: a logits processor (entry point ``vllm.logits_processors``) runs before the sampler, which would
sort all the same unless every request's ``top_p`` were hidden from it; and vLLM loads none of them with
speculative decoding.
Test: ``tests/vllm_patches/test_cpu_top_p.py`` compares with the function replaced, and runs vLLM's sampler.
Upstream: a registry for the sampler's top-k/top-p implementation by platform, as there is for attention.
"""

import torch
from torch import Tensor
from vllm.v1.sample.ops import topk_topp_sampler as vllm_sampler

CANDIDATES = 64
"""Likeliest tokens that are looked at first; a row that needs more is sorted whole."""

sort_vocabulary = vllm_sampler.apply_top_k_top_p_pytorch
"""vLLM's function, with the same arguments as :func:`keep_top_p`."""


def install() -> None:
    """Make vLLM's sampler on CPUs use :func:`keep_top_p`. Idempotent."""
    vllm_sampler.apply_top_k_top_p_pytorch = keep_top_p


def keep_top_p(
    logits: Tensor, k: Tensor | None, p: Tensor | None, allow_cpu_sync: bool = False
) -> Tensor:
    """Set what top-k and top-p leave out to minus infinity; takes and gives what vLLM's function does.

    Args:
        logits: ``[rows, vocabulary]``, changed in place.
        k: Number of likeliest tokens to keep ``[rows]``; with it, vLLM's function does everything.
        p: Probability to keep ``[rows]``: the likeliest tokens up to and with the one that reaches it.
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
    """Rows that need more tokens than the candidates; with ``p`` 1 a row keeps all its tokens."""
    filtered = p < 1
    if bool(filtered.any()):
        logits[filtered] = sort_vocabulary(logits[filtered], None, p[filtered])
    return logits
