"""Fetch an image over http(s), from checked addresses only. Everything runs on the event loop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from service.errors import FetchingOverloadedError, ImageFetchError, ImageTooLargeError
from service.images.addresses import check_url
from service.images.dns import CheckedResolver, resolve_checked, unchecked_resolver
from service.images.fair_semaphore import FairSemaphore
from service.images.fetch_policy import FetchPolicy

MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})

PASSING_FAILURES = frozenset({502, 503, 504})
"""Statuses of a gateway whose backend may be there a moment later."""

RETRY_PAUSE = 0.1
"""Seconds before the second try."""

MAX_FETCHES = 32
"""Fetches that may run at once; each may hold ``max_bytes`` in memory."""

MAX_FETCHES_PER_KEY = 16
"""Fetches that may run at once for one API key."""

FETCH_SLOTS = FairSemaphore(MAX_FETCHES, MAX_FETCHES_PER_KEY)


VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
"""Header of a response that names a version, and the request's header that asks for a newer one
(RFC 9110, 13.1)."""


@dataclass(frozen=True)
class Fetched:
    """An image file.

    Attributes:
        data: Its bytes.
        conditions: Headers with which a later request asks for it only if it has changed. Empty
            where the server names no version.
    """

    data: bytes
    conditions: Mapping[str, str] = field(default_factory=dict)


async def fetch_image(
    url: str, policy: FetchPolicy, slots: FairSemaphore = FETCH_SLOTS, tenant: str = ""
) -> bytes:
    """Return the body behind an http(s) URL; raises as :func:`fetch_if_changed`."""
    fetched = await fetch_if_changed(url, policy, {}, slots, tenant)
    assert fetched is not None
    return fetched.data


async def fetch_if_changed(
    url: str,
    policy: FetchPolicy,
    conditions: Mapping[str, str],
    slots: FairSemaphore = FETCH_SLOTS,
    tenant: str = "",
) -> Fetched | None:
    """Fetch the image behind an http(s) URL; ``policy.timeout`` includes the wait for a slot.

    Args:
        conditions: Those of an earlier fetch of the URL, or none.

    Returns:
        None if the image has not changed since that fetch.

    Raises:
        ImageSourceError: the URL is malformed or not allowed.
        ImageFetchError: the server did not send the image in time.
        ImageTooLargeError: the body has more than ``policy.max_bytes``.
        FetchingOverloadedError: no slot became free in time.
    """
    target = check_url(url, policy)
    started = False
    try:
        async with asyncio.timeout(policy.timeout), slots.hold(tenant):
            started = True
            return await _follow_redirects(target, policy, conditions)
    except TimeoutError:
        if not started:
            raise FetchingOverloadedError(
                "Too many images are being fetched; try again later."
            ) from None
        raise ImageFetchError(f"The image did not arrive within {policy.timeout:g} s.") from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise ImageFetchError("The image's server could not be reached.") from None


async def _follow_redirects(
    target: URL, policy: FetchPolicy, conditions: Mapping[str, str]
) -> Fetched | None:
    # With a proxy, the connector only looks up the proxy itself, which is at a private address as a
    # rule.
    resolver = unchecked_resolver() if policy.proxy else CheckedResolver(policy)
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
    # No proxies from the environment, no cookies, no credentials. Each fetch opens its own
    # connection, so that the resolver checks every address right before the connection is made.
    async with aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": policy.user_agent, **conditions},
    ) as session:
        for _ in range(MAX_REDIRECTS + 1):
            async with _get(session, target, policy) as response:
                if response.status not in REDIRECTS:
                    if conditions and response.status == 304:
                        return None
                    data = await _read_body(response, policy.max_bytes)
                    return Fetched(data, _conditions_of(response))
                location = response.headers.get("Location", "")
                target = check_url(str(target.join(URL(location))), policy)
        raise ImageFetchError(f"The image URL redirects more than {MAX_REDIRECTS} times.")


@asynccontextmanager
async def _get(
    session: aiohttp.ClientSession, target: URL, policy: FetchPolicy
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The response to a GET request, with a second try after a gateway's passing failure.

    aiohttp itself tries again once where the connection was lost.
    """
    address, options = await _route(target, policy)
    response = await session.get(address, allow_redirects=False, **options)
    if response.status in PASSING_FAILURES:
        response.close()
        await asyncio.sleep(RETRY_PAUSE)
        response = await session.get(address, allow_redirects=False, **options)
    async with response:
        yield response


async def _route(target: URL, policy: FetchPolicy) -> tuple[URL, dict[str, Any]]:
    """What to ask for, and aiohttp's options.

    A proxy gets the checked address instead of the name: it would look the name up again, and a
    hostile name server could give it another address.
    """
    if policy.proxy is None:
        return target, {}
    host = target.host_port_subcomponent
    options: dict[str, Any] = {"proxy": policy.proxy, "headers": {"Host": host}}
    if target.scheme == "https":
        options["server_hostname"] = target.raw_host
    return target.with_host(await resolve_checked(target, policy)), options


def _conditions_of(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {
        request: response.headers[header]
        for header, request in VALIDATORS.items()
        if header in response.headers
    }


async def _read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if response.status != 200:
        raise ImageFetchError(f"The image's server answered with status {response.status}.")
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 << 10):
        body += chunk
        if len(body) > max_bytes:
            raise ImageTooLargeError.over_bytes(max_bytes)
    return bytes(body)
