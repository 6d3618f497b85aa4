"""On a CPU: top-p sampling that looks at the likeliest tokens instead of sorting the vocabulary.

vLLM sorts every row of the logits there, at each step: a quarter of the engine's time with 64 answers
of the demo model, and a quarter of a second a step with Vicuna's 32,000 tokens. The tokens that top-p
keeps (the nucleus) are few, and nearly always among the likeliest 64. On GPUs vLLM has kernels for it.
"""

import torch
from torch import Tensor
from vllm.v1.sample.ops import topk_topp_sampler as vllm_sampler

CANDIDATES = 64
"""Likeliest tokens looked at first; a row whose nucleus is larger is sorted whole."""

sort_vocabulary = vllm_sampler.apply_top_k_top_p_pytorch
"""What vLLM does, with the same arguments as :func:`keep_nucleus`."""


def install() -> None:
    """Let vLLM's sampler on CPUs use :func:`keep_nucleus`. Idempotent."""
    vllm_sampler.apply_top_k_top_p_pytorch = keep_nucleus


def keep_nucleus(
    logits: Tensor, k: Tensor | None, p: Tensor | None, allow_cpu_sync: bool = False
) -> Tensor:
    """Set what top-k and top-p leave out to minus infinity; takes and gives what vLLM's function does.

    Args:
        logits: ``[rows, vocabulary]``, changed in place.
        k: Likeliest tokens to keep ``[rows]``; with one, everything is left to vLLM's function.
        p: Probability to keep ``[rows]``: the likeliest tokens up to and with the one that reaches it.
    """
    if p is None or k is not None or logits.shape[-1] <= CANDIDATES:
        return sort_vocabulary(logits, k, p, allow_cpu_sync)
    likeliest, tokens = logits.topk(CANDIDATES, dim=-1)
    chances = (likeliest - logits.logsumexp(-1, keepdim=True)).exp()
    reached = chances.cumsum(-1)
    kept = likeliest.masked_fill(reached - chances >= p.unsqueeze(-1), -torch.inf)
    larger = reached[:, -1] < p
    others = _of_larger(logits[larger], p[larger]) if bool(larger.any()) else None
    logits.fill_(-torch.inf).scatter_(-1, tokens, kept)
    if others is not None:
        logits[larger] = others
    return logits


def _of_larger(logits: Tensor, p: Tensor) -> Tensor:
    """Rows whose nucleus is not among the candidates; with ``p`` 1 nothing is left out."""
    some = p < 1
    if bool(some.any()):
        logits[some] = sort_vocabulary(logits[some], None, p[some])
    return logits
