"""Distinguishes a hung engine or encoder from a busy one by the time since its last progress.

The engine answers a ping between two steps of its loop, so a healthy engine is silent for one step at most.
The encoder makes progress with each batch.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from prometheus_client import Gauge

from service.settings import Settings

SILENCE = Gauge(
    "minigpt4_silence_seconds",
    "Seconds since the engine or the encoder last made progress on work that it has",
    ["part"],
    multiprocess_mode="livemax",
)

PING_SECONDS = 1.0
"""Pause between two pings."""

LONGER_THAN_SEEN = 3.0
"""A part counts as hung only if it is silent this many times longer than ever before."""

PAUSE_SECONDS = 5.0
"""A longer time between two observations is a stop of the whole service (``docker pause``, Ctrl-Z), in
which no part makes progress."""


@dataclass(frozen=True)
class HangLimits:
    """Seconds of silence until ``/health`` answers 503, and until the process exits."""

    unhealthy: float
    exit: float

    @classmethod
    def from_settings(cls, settings: Settings) -> "HangLimits":
        """Read the limits from the settings."""
        return cls(settings.hang_unhealthy_seconds, settings.hang_exit_seconds)


class Heartbeat:
    """The silence of one part. Lives on the event loop.

    Args:
        part: Its name in messages and metrics.
        silence: Seconds since it last made progress; 0 while it has nothing to do.
        limits: When the silence is too long.
    """

    def __init__(self, part: str, silence: Callable[[], float], limits: HangLimits) -> None:
        self.part = part
        self._silence = silence
        self._limits = limits
        self._longest = 0.0
        self._last = 0.0
        self._paused = 0.0
        self._observed_at = monotonic()

    def observe(self) -> None:
        """Remember the longest silence that has ended. Call this regularly."""
        silence, now = self._silence(), monotonic()
        if silence < self._last or silence == 0:
            self._longest = max(self._longest, self._last - self._paused)
            self._paused = 0.0
        if now - self._observed_at > PAUSE_SECONDS:
            self._paused += now - self._observed_at
        self._last, self._observed_at = silence, now
        SILENCE.labels(self.part).set(max(0.0, silence - self._paused))

    @property
    def is_unhealthy(self) -> bool:
        """Whether requests should go to another replica."""
        return self._is_longer_than(self._limits.unhealthy)

    @property
    def is_dead(self) -> bool:
        """Whether the process must be restarted."""
        return self._is_longer_than(self._limits.exit)

    def _is_longer_than(self, limit: float) -> bool:
        return self._silence() - self._paused > max(limit, LONGER_THAN_SEEN * self._longest)


class Pings:
    """Pings a part repeatedly, and measures how long the current ping is unanswered."""

    def __init__(self, ping: Callable[[], Awaitable[object]]) -> None:
        self._ping = ping
        self._sent_at: float | None = None

    def silence(self) -> float:
        """Return the seconds since the unanswered ping was sent; 0 if all pings are answered."""
        return 0.0 if self._sent_at is None else monotonic() - self._sent_at

    async def run(self) -> None:
        """Ping until cancelled or until a ping fails; vLLM then knows that the engine is dead."""
        with suppress(Exception):
            while True:
                self._sent_at = monotonic()
                await self._ping()
                self._sent_at = None
                await asyncio.sleep(PING_SECONDS)
        self._sent_at = None
