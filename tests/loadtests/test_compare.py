"""The comparison of two commits."""

import pytest

from loadtests.client import Run, Sample
from loadtests.compare import FIGURES, LEVELS, summarise, table


def run(*first_tokens: float) -> Run:
    samples = [Sample(0.0, 200, 1.0, first, tokens=10) for first in first_tokens]
    return Run(2.0, samples)


def test_a_run_is_summarised() -> None:
    level = summarise(run(0.1, 0.2, 0.3, 0.4), api_seconds=0.8, engine_seconds=1.6)
    assert (level.requests_per_second, level.tokens_per_second) == (2.0, 20.0)
    assert level.first_token_p50_ms == pytest.approx(250)
    assert (level.api_cpu_ms, level.engine_cpu_ms) == (200, 400)


def test_a_failed_request_ends_the_measurement() -> None:
    failed = Run(1.0, [Sample(0.0, 503)])
    with pytest.raises(RuntimeError, match="failed"):
        summarise(failed, 0.1, 0.1)


def test_the_table_shows_medians_and_the_ratios_of_the_turns() -> None:
    slow, fast = (summarise(run(*[first] * 4), 0.4, 0.4) for first in (0.1, 0.2))
    rows = list(table(LEVELS[0], {"baseline": [slow, slow, slow], "this": [slow, fast, fast]}))
    assert len(rows) == len(FIGURES)
    assert (
        "| unique, 1 at a time | first token p50, ms | 100.0 | 200.0 | 2.00 | 1.50 to 2.00 |"
        in rows
    )
