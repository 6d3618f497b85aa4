"""What every worker has taken of the data sets, shared out anew where their number changed."""

from collections.abc import Mapping, Sequence

Taken = dict[int, list[int]]
"""By worker of one process, the samples it has taken from each source, good or bad."""


def shared_out(taken: Sequence[Mapping[int, list[int]]], before: int, now: int) -> list[Taken]:
    """By process, what ``now`` workers have to skip, after ``before`` of them took ``taken``.

    Each part of a source is every n-th sample of one endless order. So all that was taken is a start of
    that order, but for the little by which one worker was ahead of another, and its equal shares are the
    starts of the new parts: nothing is left out for more than a round.
    """
    if now == before:
        return [dict(process) for process in taken]
    counts = [worker for process in taken for worker in process.values()]
    totals = [sum(source) for source in zip(*counts, strict=True)]
    parts = len(taken) * now
    return [
        {
            worker: [_share(total, process * now + worker, parts) for total in totals]
            for worker in range(now)
        }
        for process in range(len(taken))
    ]


def _share(total: int, part: int, parts: int) -> int:
    return len(range(part, total, parts))
