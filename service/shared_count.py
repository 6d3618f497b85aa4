"""A number to which several processes add, for limits that hold over all of them.

Each process writes only its own part, so that adding needs no lock. A process that checks the total before it adds
holds :attr:`Count.lock`, so that two processes do not take the last place at the same time.
"""

from collections.abc import MutableSequence
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.context import SpawnContext
from typing import Any, Protocol


class Count(Protocol):
    """A number of which this process has a part."""

    lock: AbstractContextManager[Any]

    @property
    def total(self) -> int:
        """The sum over all processes."""

    def add(self, change: int) -> None:
        """Change the part of this process."""


class LocalCount:
    """The number of a single process."""

    def __init__(self) -> None:
        self.lock: AbstractContextManager[Any] = nullcontext()
        self.total = 0

    def add(self, change: int) -> None:
        """Change the number."""
        self.total += change


class SharedCount:
    """A number in shared memory. Give each process its own ``index`` by :meth:`for_process`."""

    def __init__(
        self, parts: MutableSequence[int], lock: AbstractContextManager[Any], index: int = 0
    ) -> None:
        self.lock = lock
        self._parts = parts
        self._index = index

    @classmethod
    def create(cls, context: SpawnContext, processes: int) -> "SharedCount":
        """Make a count of 0 for processes that ``context`` spawns."""
        return cls(context.RawArray("q", processes), context.Lock())

    def for_process(self, index: int) -> "SharedCount":
        """Return the same count for the process with this index."""
        return SharedCount(self._parts, self.lock, index)

    @property
    def total(self) -> int:
        """The sum over all processes."""
        return sum(self._parts)

    def add(self, change: int) -> None:
        """Change the part of this process."""
        self._parts[self._index] += change
