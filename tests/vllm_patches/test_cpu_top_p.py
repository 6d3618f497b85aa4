"""Top-p sampling on a CPU: the same tokens stay as when vLLM sorts the whole vocabulary."""

import pytest
import torch
from torch import Tensor
from vllm.platforms import current_platform
from vllm.v1.sample.ops import topk_topp_sampler

from service.vllm_patches import cpu_top_p

SORTED = cpu_top_p.sort_vocabulary
ROWS, VOCABULARY = 12, 1000
SHAPES = {
    "peaked": 8.0,  # a handful of tokens hold nearly everything
    "mixed": 3.0,  # some nuclei are larger than the candidates
    "flat": 0.1,  # all are
}


def drawn(spread: float, seed: int) -> Tensor:
    """Logits ``[rows, vocabulary]`` in double precision, so that no sum is a matter of rounding."""
    noise = torch.randn(
        ROWS, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.double
    )
    return spread * noise


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", SHAPES)
def test_keeps_what_sorting_keeps(shape: str, seed: int) -> None:
    logits = drawn(SHAPES[shape], seed)
    p = torch.linspace(0.05, 0.99, ROWS, dtype=torch.double)
    expected = SORTED(logits.clone(), None, p)
    assert torch.equal(cpu_top_p.keep_top_p(logits.clone(), None, p), expected)


@pytest.mark.parametrize("allowed", [1, 10, 100])
def test_tokens_that_a_grammar_forbids_stay_forbidden(allowed: int) -> None:
    logits = drawn(3.0, 0)
    logits[:, allowed:] = -torch.inf
    p = torch.linspace(0.05, 0.99, ROWS, dtype=torch.double)
    expected = SORTED(logits.clone(), None, p)
    assert torch.equal(cpu_top_p.keep_top_p(logits.clone(), None, p), expected)


def test_a_row_without_top_p_stays_whole_beside_others() -> None:
    logits = drawn(8.0, 0)
    p = torch.full((ROWS,), 0.5, dtype=torch.double)
    p[3] = 1.0
    kept = cpu_top_p.keep_top_p(logits.clone(), None, p)
    assert torch.equal(kept[3], logits[3])
    assert (kept.isfinite().sum(-1) < cpu_top_p.CANDIDATES).sum() == ROWS - 1


@pytest.mark.parametrize("p", [None, torch.full((ROWS,), 0.7, dtype=torch.double)])
def test_top_k_is_left_to_vllm(p: Tensor | None) -> None:
    logits = drawn(3.0, 0)
    k = torch.full((ROWS,), 5)
    expected = SORTED(logits.clone(), k, p)
    assert torch.equal(cpu_top_p.keep_top_p(logits.clone(), k, p), expected)


def test_a_vocabulary_no_larger_than_the_candidates() -> None:
    logits = drawn(1.0, 0)[:, : cpu_top_p.CANDIDATES]
    p = torch.full((ROWS,), 0.7, dtype=torch.double)
    expected = SORTED(logits.clone(), None, p)
    assert torch.equal(cpu_top_p.keep_top_p(logits.clone(), None, p), expected)


def test_vllms_sampler_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function goes in where vLLM's sampler on CPUs looks it up, with vLLM's own call."""
    monkeypatch.setattr(topk_topp_sampler, "apply_top_k_top_p_pytorch", SORTED)
    seen: list[int] = []

    def watched(logits: Tensor, *rest: object) -> Tensor:
        seen.append(len(logits))
        return logits

    monkeypatch.setattr(cpu_top_p, "_sort_rows", watched)
    cpu_top_p.install()
    current_platform.import_kernels()
    sampler = topk_topp_sampler.TopKTopPSampler()
    tokens, _ = sampler(drawn(0.1, 0).float(), {}, None, torch.full((ROWS,), 0.9))
    assert seen == [ROWS]
    assert tokens.shape == (ROWS,)
