"""The state of the process towards its clients, and the drain at its end. Lives on the event loop."""

import asyncio
from contextlib import suppress
from enum import StrEnum
from typing import Protocol

from prometheus_client import Gauge


class State(StrEnum):
    """The state of the service."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


# Not an Enum: those do not work over several processes.
STATE = Gauge(
    "minigpt4_state",
    "Where in its life the service is",
    ["minigpt4_state"],
    multiprocess_mode="livemax",
)


class Exchange(Protocol):
    """A request and its response that can be ended early."""

    def cut(self) -> None:
        """End the request, and tell its client that the service stops."""


class Lifecycle:
    """State, number of requests in flight, and the exchanges that a stop must cut."""

    def __init__(self) -> None:
        self.state = State.STARTING
        self.in_flight = 0
        self.exchanges: set[Exchange] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def state(self) -> State:
        """The state, which is also a metric."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        for each in State:
            STATE.labels(each.value).set(each is state)

    @property
    def ending(self) -> bool:
        """Whether the process is about to end."""
        return self._state in (State.DRAINING, State.FAILED)

    def enter(self) -> None:
        """Count a request that begins."""
        self.in_flight += 1
        self._idle.clear()

    def leave(self) -> None:
        """Count a request that has ended, its stream included."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._idle.set()

    async def drain(self, grace: float) -> int:
        """Refuse new requests, wait up to ``grace`` seconds, then cut the rest; return how many were cut."""
        self.state = State.DRAINING
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace)
        cut = self.in_flight
        for exchange in list(self.exchanges):
            exchange.cut()
        return cut
