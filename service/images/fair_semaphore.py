"""A number of places that many use at once, of which nobody may take all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Places:
    """Lives on one event loop once somebody has waited.

    Args:
        total: Places in all.
        share: Places of one name at most; the empty name may have all.
    """

    def __init__(self, total: int, share: int) -> None:
        self._all = asyncio.Semaphore(total)
        self._total = total
        self._share = share
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[None]:
        """Wait for a place, have it for the block's time."""
        release = await self.take(name)
        try:
            yield
        finally:
            release()

    async def take(self, name: str) -> Callable[[], None]:
        """Wait for a place; returns what gives it back."""
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
            # Forgotten as soon as nobody uses it.
            most = self._share if name else self._total
            share = self._shares[name] = asyncio.Semaphore(most)
        return share
