"""The side-by-side bench: which requests its levels and turns send to whom."""

from argparse import Namespace
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from loadtests import bench
from loadtests.systems import Started
from loadtests.traffic import SEEN_IMAGES, Messages

SYSTEMS = {"one": Started("http://one", "model", 1), "two": Started("http://two", "model", 2)}
ASKED = Namespace(seconds=8.0, concurrency=[1, 4])


def image(messages: Messages) -> str:
    return str(messages[0]["content"][0]["image_url"]["url"])


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of each system, in order; nothing is sent."""
    asked: list[dict[str, Any]] = []

    def one_turn(
        system: Started, requests: Iterator[Messages], concurrency: int, seconds: float
    ) -> dict[str, Any]:
        pictures = {image(messages) for messages in islice(requests, 2 * SEEN_IMAGES)}
        turn = {"system": system, "level": concurrency, "seconds": seconds, "pictures": pictures}
        asked.append(turn)
        return {"cpu_seconds": 1.0, "peak_bytes": 1, "seconds": seconds, "samples": [{}, {}]}

    monkeypatch.setattr(bench, "one_turn", one_turn)
    monkeypatch.setattr(bench, "PAUSE_SECONDS", 0.0)
    return asked


@pytest.mark.parametrize("workload", ["unique", "seen"])
def test_systems_take_turns_and_no_levels_share_a_picture(
    turns: list[dict[str, Any]], workload: str
) -> None:
    records = list(bench.closed_loop(SYSTEMS, ASKED, [workload]))
    assert [(r["system"], r["concurrency"], r["seconds"]) for r in records] == [
        (name, level, ASKED.seconds) for level in ASKED.concurrency for name in SYSTEMS
    ], "the warm-up is not counted"
    first, second = ([t for t in turns if t["level"] == level] for level in ASKED.concurrency)
    assert not {p for t in first for p in t["pictures"]} & {
        p for t in second for p in t["pictures"]
    }
    assert [t["system"].url[-3:] for t in first] == ["one", "two", "two", "one"] * 2 + [
        "one",
        "two",
    ]


def test_seen_pictures_are_those_of_the_warm_up(turns: list[dict[str, Any]]) -> None:
    list(bench.closed_loop(SYSTEMS, ASKED, ["seen"]))
    level = [turn["pictures"] for turn in turns if turn["level"] == 4]
    assert len(level[0]) == SEEN_IMAGES
    assert all(pictures == level[0] for pictures in level)


def test_unique_pictures_come_once_to_a_system(turns: list[dict[str, Any]]) -> None:
    list(bench.closed_loop(SYSTEMS, ASKED, ["unique"]))
    sent = [turn["pictures"] for turn in turns if turn["system"] == SYSTEMS["one"]]
    assert len(set.union(*sent)) == sum(map(len, sent))
