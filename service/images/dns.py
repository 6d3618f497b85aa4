"""DNS lookups on threads of our own.

A running ``getaddrinfo`` cannot be cancelled, and the event loop's default executor has few
threads. A few names with unresponsive name servers would occupy all of those threads and block
every other lookup. Therefore this pool has many threads, and the names of one domain may use only
some of them.
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
from yarl import URL

from service.images.addresses import check_address
from service.images.fair_semaphore import FairSemaphore
from service.images.fetch_policy import FetchPolicy

MAX_LOOKUPS = 64
"""Lookups that may run at once, one thread each. Abandoned lookups count until they end."""

MAX_LOOKUPS_PER_DOMAIN = 8
"""Lookups that may run at once for names with the same last two labels."""


class LookupPool:
    """Runs lookups on daemon threads; offers the two methods that aiohttp calls on a loop."""

    def __init__(self, slots: FairSemaphore) -> None:
        self._slots = slots

    async def getaddrinfo(self, host: str, port: int, **options: int) -> list[Any]:
        """Call :func:`socket.getaddrinfo` on a thread, after waiting for a free slot.

        A cancelled caller stops waiting, but its lookup keeps the slot until it ends.
        """
        release = await self._slots.acquire(_domain_of(host))
        try:
            lookup = _run_on_thread(lambda: socket.getaddrinfo(host, port, **options))
        except BaseException:
            release()
            raise
        loop = asyncio.get_running_loop()

        def release_on_loop(_: object) -> None:
            """Runs on the lookup's thread."""
            with suppress(RuntimeError):  # the loop is closed, so no task waits for a slot
                loop.call_soon_threadsafe(release)

        lookup.add_done_callback(release_on_loop)
        return await asyncio.wrap_future(lookup)

    async def getnameinfo(self, address: Any, flags: int) -> tuple[str, str]:
        """Call :func:`socket.getnameinfo`, which does not block for a numeric address."""
        return socket.getnameinfo(address, flags)


LOOKUP_SLOTS = FairSemaphore(MAX_LOOKUPS, MAX_LOOKUPS_PER_DOMAIN)

LOOKUP_POOL = LookupPool(LOOKUP_SLOTS)


class CheckedResolver(AbstractResolver):
    """Resolves a name once; refuses the name if the service may not connect to an address of it."""

    def __init__(self, policy: FetchPolicy, lookups: LookupPool = LOOKUP_POOL) -> None:
        self._policy = policy
        self._resolver = aiohttp.ThreadedResolver(lookups)  # type: ignore[arg-type]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``.

        Raises:
            ImageSourceError: the service may not connect to one of them.
        """
        results = await self._resolver.resolve(host, port, family)
        for result in results:
            check_address(result["host"], self._policy)
        return results

    async def close(self) -> None:
        """Do nothing: the resolver holds no resources."""


def unchecked_resolver() -> AbstractResolver:
    """A resolver for names that the operator has chosen."""
    return aiohttp.ThreadedResolver(LOOKUP_POOL)  # type: ignore[arg-type]


async def resolve_checked(target: URL, policy: FetchPolicy) -> str:
    """An address of the URL's host to connect to, IPv4 where there is one; as :class:`CheckedResolver`."""
    assert target.raw_host
    results = await CheckedResolver(policy).resolve(target.raw_host, target.port or 0)
    return min(results, key=lambda result: result["family"] != socket.AF_INET)["host"]


def _domain_of(host: str) -> str:
    return ".".join(host.lower().rstrip(".").split(".")[-2:])


def _run_on_thread(lookup: Callable[[], list[Any]]) -> "Future[list[Any]]":
    """Run ``lookup`` on a daemon thread, so that the process can exit before the lookup ends."""
    future: Future[list[Any]] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(lookup())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="image-lookup", daemon=True).start()
    return future
