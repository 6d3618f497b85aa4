"""How a server reports its state, and how it is told to end.

A service of one process listens to signals and prints. An API process talks to the supervisor over a pipe, because
all API processes become ready, drain and end together.
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

from service.observability.output import restore_output
from service.serve.banner import say
from service.serve.systemd import Notice, notify

SERVE, DRAIN, STOP, FAIL = b"serve", b"drain", b"stop", b"fail"
"""What the supervisor says to an API process."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""The signals that end the service; only the process that was started as the service handles them."""


def ignore_signals() -> None:
    """Ignore the signals that end the service, also those that came while the process started."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


class Control(Protocol):
    """The server's link to what started it. Lives on the event loop."""

    def attach(self, stop: Callable[[], None], fail: Callable[[], None]) -> None:
        """Call ``stop`` once when the server shall drain and end, ``fail`` when it shall end at once."""

    def progress(self, text: str) -> None:
        """Tell that something has begun or is done during the start."""

    async def loaded(self, capacity: str) -> None:
        """Tell that everything is loaded; returns when requests may be served."""

    def ready(self, capacity: str, banner: str) -> None:
        """Tell that requests are served from now on."""

    def alive(self) -> None:
        """Tell that the event loop makes progress; to be called every second."""

    def draining(self, in_flight: int, grace: float) -> None:
        """Tell that the drain begins."""

    async def drained(self, cut: int) -> None:
        """Tell how many requests were cut; returns when the server may stop listening."""

    def failed(self, reason: str) -> None:
        """Tell why the server cannot start; the process then exits."""


class Signals:
    """For a service of one process: SIGTERM and SIGINT end it, a second one at once."""

    def __init__(self) -> None:
        self._stopping = False

    def attach(self, stop: Callable[[], None], fail: Callable[[], None]) -> None:
        """Handle signals on the running loop."""

        def handle() -> None:
            if self._stopping:
                os._exit(1)
            self._stopping = True
            stop()

        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, handle)

    def progress(self, text: str) -> None:
        """Print it."""
        say(text)

    async def loaded(self, capacity: str) -> None:
        """Go on at once."""

    def ready(self, capacity: str, banner: str) -> None:
        """Print both, and tell systemd."""
        say(capacity)
        say(banner)
        notify(Notice.READY)

    def alive(self) -> None:
        """Tell systemd."""
        notify(Notice.ALIVE)

    def draining(self, in_flight: int, grace: float) -> None:
        """Print it, and tell systemd."""
        notify(Notice.STOPPING)
        say(f"Draining: {in_flight} requests in flight, at most {grace} s.")

    async def drained(self, cut: int) -> None:
        """Print it, and go on at once."""
        if cut:
            say(f"{cut} requests were cut.")

    def failed(self, reason: str) -> None:
        """Print it as the last line."""
        restore_output()
        say(f"minigpt4-service: {reason}")


class Pipe:
    """For an API process: the supervisor decides. When it has ended, this process ends as well."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._serve = asyncio.Event()
        self._stop = asyncio.Event()

    def attach(self, stop: Callable[[], None], fail: Callable[[], None]) -> None:
        """Read the pipe on the running loop."""

        def read() -> None:
            try:
                word = self._connection.recv_bytes()
            except (EOFError, OSError):
                os._exit(1)
            if word == SERVE:
                self._serve.set()
            elif word == DRAIN:
                stop()
            elif word == STOP:
                self._stop.set()
            else:
                fail()

        asyncio.get_running_loop().add_reader(self._connection.fileno(), read)

    def progress(self, text: str) -> None:
        """Say nothing: the supervisor tells what it starts."""

    async def loaded(self, capacity: str) -> None:
        """Wait for the other API processes."""
        self._tell(loaded=capacity)
        await self._serve.wait()

    def ready(self, capacity: str, banner: str) -> None:
        """Say nothing: the supervisor prints both."""

    def alive(self) -> None:
        """Tell the supervisor."""
        self._tell(alive=True)

    def draining(self, in_flight: int, grace: float) -> None:
        """Tell the supervisor, which adds the numbers up."""
        self._tell(draining=in_flight)

    async def drained(self, cut: int) -> None:
        """Wait for the other API processes: until then this one refuses requests as they do."""
        self._tell(drained=cut)
        await self._stop.wait()

    def failed(self, reason: str) -> None:
        """Tell the supervisor, which prints it."""
        self._tell(failed=reason)

    def _tell(self, **facts: Any) -> None:
        try:
            self._connection.send_bytes(json.dumps(facts).encode())
        except OSError:
            os._exit(1)
