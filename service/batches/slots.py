"""Limit the running lines: fewer beside interactive requests, none during a drain."""

import asyncio
from collections.abc import Callable

from service.batches.limits import BatchLimits

POLL_SECONDS = 0.02
"""Seconds between checks of the load by a waiting line: the engine has no event for it."""


class LineSlots:
    """The slots of all batches together. Lives on the event loop.

    Attributes:
        running: Lines that run.
    """

    def __init__(
        self, limits: BatchLimits, is_busy: Callable[[], bool], may_start: Callable[[], bool]
    ) -> None:
        """Store the conditions of a slot.

        Args:
            is_busy: Whether interactive requests are being served.
            may_start: Whether the service takes new requests at all.
        """
        self.running = 0
        self._limits = limits
        self._is_busy = is_busy
        self._may_start = may_start
        # Waiters get slots in the order of their arrival, so batches take turns.
        self._turn = asyncio.Lock()

    async def acquire(self, stopped: Callable[[], bool]) -> bool:
        """Wait for a slot; return False if ``stopped`` says that none is needed any more."""
        async with self._turn:
            while not stopped():
                if self.running < self._allowed():
                    self.running += 1
                    return True
                await asyncio.sleep(POLL_SECONDS)
            return False

    def release(self) -> None:
        """Give a slot back."""
        self.running -= 1

    def _allowed(self) -> int:
        if not self._may_start():
            return 0
        limits = self._limits
        return limits.running_while_busy if self._is_busy() else limits.running
