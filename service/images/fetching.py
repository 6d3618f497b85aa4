"""Fetching an image over http(s), from checked addresses only."""

import asyncio

import aiohttp
from yarl import URL

from service.errors import FetchingOverloadedError, ImageFetchError, ImageTooLargeError
from service.images.addresses import check_url
from service.images.dns import CheckedResolver
from service.images.fair_semaphore import Places
from service.images.fetch_policy import FetchPolicy

MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})

MAX_FETCHES = 32
"""Images on their way at the same time; each may hold ``max_bytes`` in memory."""

FETCHES_OF_A_KEY = 16
"""Of those, at most this many are one API key's."""

FETCHES = Places(MAX_FETCHES, FETCHES_OF_A_KEY)


async def fetch(url: str, policy: FetchPolicy, places: Places = FETCHES, tenant: str = "") -> bytes:
    """The body behind an http(s) address; waiting for a place is part of ``policy.timeout``.

    Raises:
        ImageSourceError: the address is malformed or not allowed.
        ImageFetchError: its server did not answer with a body in time.
        ImageTooLargeError: more bytes than ``policy.max_bytes``.
        FetchingOverloadedError: there was no place in time.
    """
    target = check_url(url, policy)
    begun = False
    try:
        async with asyncio.timeout(policy.timeout), places.place(tenant):
            begun = True
            return await _fetch(target, policy)
    except TimeoutError:
        if not begun:
            raise FetchingOverloadedError(
                "Too many images are being fetched; try again later."
            ) from None
        raise ImageFetchError(f"The image did not arrive within {policy.timeout:g} s.") from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise ImageFetchError("The image's server could not be reached.") from None


async def _fetch(target: URL, policy: FetchPolicy) -> bytes:
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(policy), use_dns_cache=False)
    # No environment proxies, cookies or credentials; one connection a fetch, so that every address
    # is checked at the moment it is connected to.
    async with aiohttp.ClientSession(
        connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        for _ in range(MAX_REDIRECTS + 1):
            async with session.get(target, allow_redirects=False) as response:
                if response.status not in REDIRECTS:
                    return await _read(response, policy.max_bytes)
                location = response.headers.get("Location", "")
                target = check_url(str(target.join(URL(location))), policy)
        raise ImageFetchError(f"The image's address redirects more than {MAX_REDIRECTS} times.")


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if response.status != 200:
        raise ImageFetchError(f"The image's server answered with status {response.status}.")
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 << 10):
        body += chunk
        if len(body) > max_bytes:
            raise ImageTooLargeError(f"The image has more than {max_bytes} bytes.")
    return bytes(body)
