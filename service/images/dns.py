"""Names to addresses, on threads of our own.

The system's lookup cannot be given up, only no longer be waited for, and the event loop's own threads for it
are few: some names whose servers do not answer would stop everybody's. So there are many threads, and the
names of one domain get some of them only.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from service.images.addresses import check_address
from service.images.fair_semaphore import Places
from service.images.fetch_policy import FetchPolicy

MAX_LOOKUPS = 64
"""Lookups under way, those included that nobody waits for any more; each has a thread."""

LOOKUPS_OF_A_DOMAIN = 8
"""Of those, at most this many are for names below the same two labels."""

Lookup = Callable[[], list[Any]]


class Lookups:
    """What aiohttp's resolver asks of an event loop."""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def getaddrinfo(self, host: str, port: int, **options: int) -> list[Any]:
        """As :func:`socket.getaddrinfo`; waits for a thread, and leaves it to itself when cancelled."""
        give_back = await self._places.take(_domain(host))
        try:
            found = _on_thread(lambda: socket.getaddrinfo(host, port, **options))
        except BaseException:
            give_back()
            raise
        loop = asyncio.get_running_loop()

        def ended(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits for a place
                loop.call_soon_threadsafe(give_back)

        found.add_done_callback(ended)
        return await asyncio.wrap_future(found)

    async def getnameinfo(self, address: Any, flags: int) -> tuple[str, str]:
        """As :func:`socket.getnameinfo`, which asks nobody for a numeric address."""
        return socket.getnameinfo(address, flags)


LOOKUPS = Lookups(Places(MAX_LOOKUPS, LOOKUPS_OF_A_DOMAIN))


class CheckedResolver(AbstractResolver):
    """Resolves once and returns only addresses that may be connected to."""

    def __init__(self, policy: FetchPolicy, lookups: Lookups = LOOKUPS) -> None:
        self._policy = policy
        self._resolver = aiohttp.ThreadedResolver(lookups)  # type: ignore[arg-type]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All of the host's addresses; one that is not allowed refuses the host."""
        results = await self._resolver.resolve(host, port, family)
        for result in results:
            check_address(result["host"], self._policy)
        return results

    async def close(self) -> None:
        """Nothing is held."""


def _domain(host: str) -> str:
    return ".".join(host.lower().rstrip(".").split(".")[-2:])


def _on_thread(lookup: Lookup) -> "Future[list[Any]]":
    """Run on a thread that the process does not wait for at its end."""
    found: Future[list[Any]] = Future()
    found.set_running_or_notify_cancel()

    def run() -> None:
        try:
            found.set_result(lookup())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=run, name="image-lookup", daemon=True).start()
    return found
