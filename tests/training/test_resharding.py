"""Samples taken by some workers, shared out among others."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from service.training.resharding import shared_out
from service.training.samples import BadSample, Part, RawSample
from service.training.sources import open_source


def test_the_same_number_of_workers_goes_on_exactly() -> None:
    taken = [{0: [7, 1], 1: [2, 3]}, {1: [4, 4]}]
    assert shared_out(taken, 2, 2) == taken


@pytest.mark.parametrize(("before", "now"), [(2, 3), (3, 2), (1, 4), (4, 1)])
def test_others_take_neither_what_was_taken_nor_leave_out_what_was_not(
    colours: Path, before: int, now: int
) -> None:
    source, processes, each = open_source(str(colours)), 2, 3

    def stream(number: int, of: int, skip: int) -> Iterator[RawSample | BadSample]:
        return source.stream(Part(number, of), 0, skip)

    old = range(processes * before)
    seen = [sample for part in old for sample in islice(stream(part, len(old), 0), each)]
    taken = [{worker: [each] for worker in range(before)} for _ in range(processes)]
    shares = shared_out(taken, before, now)
    # All old parts are equally far, so the new ones together go on at the very sample.
    parts = {p * now + w: skip[0] for p, share in enumerate(shares) for w, skip in share.items()}
    assert sum(parts.values()) == len(seen)
    order = list(islice(stream(0, 1, 0), 4 * 5 * 6))
    rest: list[RawSample | BadSample] = []
    for part, skip in parts.items():
        end = len(range(part, len(order), len(parts)))
        rest += islice(stream(part, len(parts), skip), end - skip)
    assert Counter(s.where for s in seen + rest) == Counter(s.where for s in order)


def test_a_worker_that_has_not_come_to_turn_took_nothing() -> None:
    assert shared_out([{0: [5]}], 4, 2) == [{0: [3], 1: [2]}]
