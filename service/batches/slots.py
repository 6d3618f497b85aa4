"""How many lines may run at once: fewer while interactive requests are served, none while the service drains."""

import asyncio
from collections.abc import Callable

from service.batches.limits import BatchLimits

POLL_SECONDS = 0.02
"""How often a line that waits looks at the load: the engine has no event for it."""


class LineSlots:
    """The slots of all batches together. Lives on the event loop.

    Attributes:
        running: Lines that run.
    """

    def __init__(
        self, limits: BatchLimits, is_busy: Callable[[], bool], may_start: Callable[[], bool]
    ) -> None:
        """Keep what a slot depends on.

        Args:
            is_busy: Whether interactive requests are being served.
            may_start: Whether the service takes new requests at all.
        """
        self.running = 0
        self._limits = limits
        self._is_busy = is_busy
        self._may_start = may_start
        # Waiters take turns in the order in which they came: batches get slots alternately.
        self._turn = asyncio.Lock()

    async def acquire(self, stopped: Callable[[], bool]) -> bool:
        """Wait for a slot; return False without one when ``stopped`` says that none is needed any more."""
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
