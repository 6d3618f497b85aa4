"""The capacity calculation, on cases that can be done by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.capacity import Costs, Mix, plan, read, table

COSTS = Costs(encode=0.1, prefill=0.0, decode=0.01, kv_tokens=10**9, token_latency=0.02)
MIX = Mix(new_image=0.5, answer_tokens=10, utilisation=0.5, spare=0)
"""A request keeps a replica busy for 0.05 s of encoding and 0.1 s of decoding."""


def test_replicas_are_the_work_over_the_time_allowed() -> None:
    wanted = plan(COSTS, MIX, 60 * 10)  # 10 a second x 0.15 s / 0.5
    assert wanted.replicas == 3
    assert wanted.gpus == 3
    assert wanted.limit == "engine"


def test_an_encoder_of_its_own_works_beside_the_engine() -> None:
    apart = replace(COSTS, encoder_apart=True, gpus=2)
    wanted = plan(apart, MIX, 60 * 10)
    assert wanted.replicas == 2
    assert wanted.gpus == 4
    assert plan(replace(apart, encode=1.0), MIX, 60 * 10).limit == "encoder"


def test_the_kv_cache_can_be_what_limits() -> None:
    small = replace(COSTS, kv_tokens=310)
    # 10 a second x 10 tokens x 0.02 s = 2 at a time, of 310 tokens each.
    wanted = plan(small, replace(MIX, utilisation=1.0), 60 * 10)
    assert wanted.limit == "kv cache"
    assert wanted.replicas == 2


def test_more_traffic_never_needs_less() -> None:
    counts = [plan(COSTS, Mix(), traffic).replicas for traffic in (0, 10, 100, 1_000, 100_000)]
    assert counts == sorted(counts)
    assert counts[0] == 2, "one, and a spare one"


def test_a_prefix_cache_saves_prefill_only() -> None:
    costs = replace(COSTS, encode=0.0, decode=0.0, prefill=0.001)
    cold, warm = (replace(MIX, prefix_hits=hits) for hits in (0.0, 1.0))
    assert plan(costs, cold, 6_000).replicas > plan(costs, warm, 6_000).replicas


def test_the_documented_file_gives_the_documented_table() -> None:
    docs = Path(__file__).parents[2] / "docs"
    assert (
        table(*read(docs / "examples" / "capacity-cpu.toml"))
        in (docs / "how-to" / "scale-out.md").read_text()
    )


def test_unknown_costs_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "costs.toml"
    file.write_text("[costs]\nencod = 1\n")
    with pytest.raises(TypeError, match="encod"):
        read(file)
