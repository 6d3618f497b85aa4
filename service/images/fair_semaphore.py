"""A semaphore that one user cannot exhaust alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class FairSemaphore:
    """A semaphore with a total number of slots, of which each name may hold a share.

    All methods run on one event loop: the loop on which the first task waited.

    Args:
        total: Number of slots.
        share: Maximum number of slots that one name may hold. The empty name may hold all of them.
    """

    def __init__(self, total: int, share: int) -> None:
        self._all = asyncio.Semaphore(total)
        self._total = total
        self._share = share
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def divide(self, processes: int) -> None:
        """Keep only this process's part of the slots, at least one. Call it before the first task waits."""
        self._total = max(1, self._total // processes)
        self._share = max(1, self._share // processes)
        self._all = asyncio.Semaphore(self._total)

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Wait for a slot and hold it for the duration of the block."""
        release = await self.acquire(name)
        try:
            yield
        finally:
            release()

    async def acquire(self, name: str) -> Callable[[], None]:
        """Wait for a slot and return the function that releases it; call that once."""
        share = self._share_of(name)
        await share.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            share.release()
            raise

        def release() -> None:
            self._all.release()
            share.release()

        return release

    def _share_of(self, name: str) -> asyncio.Semaphore:
        share = self._shares.get(name)
        if share is None:
            # The dictionary is weak: it drops a name's semaphore when no task uses it.
            slots = self._share if name else self._total
            share = self._shares[name] = asyncio.Semaphore(slots)
        return share
