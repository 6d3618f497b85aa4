"""Samples that some workers took, divided among another number of workers."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from service.training.resharding import reshard_taken
from service.training.samples import BadSample, Part, RawSample
from service.training.sources import open_data_set


def test_the_same_number_of_workers_keeps_its_counts() -> None:
    taken = [{0: [7, 1], 1: [2, 3]}, {1: [4, 4]}]
    assert reshard_taken(taken, 2, 2) == taken


@pytest.mark.parametrize(("before", "now"), [(2, 3), (3, 2), (1, 4), (4, 1)])
def test_new_workers_neither_repeat_nor_leave_out_a_sample(
    colours: Path, before: int, now: int
) -> None:
    source, processes, each = open_data_set(str(colours)), 2, 3

    def stream(number: int, of: int, skip: int) -> Iterator[RawSample | BadSample]:
        return source.stream(Part(number, of), 0, skip)

    old = range(processes * before)
    seen = [sample for part in old for sample in islice(stream(part, len(old), 0), each)]
    taken = [{worker: [each] for worker in range(before)} for _ in range(processes)]
    shares = reshard_taken(taken, before, now)
    # All old parts have taken equally many, so the new parts continue at exactly the next sample.
    parts = {p * now + w: skip[0] for p, share in enumerate(shares) for w, skip in share.items()}
    assert sum(parts.values()) == len(seen)
    order = list(islice(stream(0, 1, 0), 4 * 5 * 6))
    rest: list[RawSample | BadSample] = []
    for part, skip in parts.items():
        end = len(range(part, len(order), len(parts)))
        rest += islice(stream(part, len(parts), skip), end - skip)
    assert Counter(s.where for s in seen + rest) == Counter(s.where for s in order)


def test_a_worker_whose_turn_has_not_come_took_nothing() -> None:
    assert reshard_taken([{0: [5]}], 4, 2) == [{0: [3], 1: [2]}]
