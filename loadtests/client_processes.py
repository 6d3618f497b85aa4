"""Client processes, because one Python process cannot drive hundreds of streams."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")


@contextmanager
def open_client_processes(count: int) -> Iterator[list[ProcessPoolExecutor]]:
    """Give ``count`` pools of one process each, which start with their first call.

    One process a pool: what a call prepares is there for the next call.
    """
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        yield [stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for _ in range(count)]


def call_each(
    pools: Sequence[ProcessPoolExecutor],
    function: Callable[..., Result],
    arguments: Iterable[tuple[Any, ...]],
) -> list[Future[Result]]:
    """Call a function in the processes at the same time, each with its own arguments."""
    return [pool.submit(function, *own) for pool, own in zip(pools, arguments, strict=True)]


def split_streams(streams: int, processes: int) -> list[int]:
    """Divide streams as equally as possible; a process without a stream is left out."""
    shares = [streams // processes + (n < streams % processes) for n in range(processes)]
    return [share for share in shares if share]
