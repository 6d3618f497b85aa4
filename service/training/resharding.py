"""Resharding: dividing the samples that are still to come when the number of workers changed."""

from collections.abc import Mapping, Sequence

Taken = dict[int, list[int]]
"""For each worker of one process, how many samples it has taken from each source, good or bad."""


def reshard_taken(taken: Sequence[Mapping[int, list[int]]], before: int, now: int) -> list[Taken]:
    """Return for each process how many samples each of ``now`` workers has to skip.

    Each part of a source is every n-th sample of one endless order. Together, the samples that
    ``before`` workers took are the start of that order, apart from the few by which one worker was
    ahead of another. Each new worker skips its share of that start, so no sample is left out for
    more than a round.

    Args:
        taken: For each process, what its workers took.
        before: Workers of each process until now.
        now: Workers of each process from now on.
    """
    if now == before:
        return [dict(process) for process in taken]
    counts = [worker for process in taken for worker in process.values()]
    totals = [sum(source) for source in zip(*counts, strict=True)]
    parts = len(taken) * now
    return [
        {
            worker: [_share_of_part(total, process * now + worker, parts) for total in totals]
            for worker in range(now)
        }
        for process in range(len(taken))
    ]


def _share_of_part(total: int, part: int, parts: int) -> int:
    return len(range(part, total, parts))
