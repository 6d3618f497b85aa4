"""Where an image comes from: a base64 data URI, or an http(s) address fetched with care."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

import aiohttp
import pybase64
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from service.errors import ImageFetchError, ImageFormatError, ImageSourceError, ImageTooLargeError

MAX_REDIRECTS = 3
IPV4_IN_LAST_BITS = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b::/96"))
ESCAPES = {"%2B": "+", "%2b": "+", "%2F": "/", "%2f": "/", "%3D": "=", "%3d": "="}
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class FetchPolicy:
    """What may be fetched.

    Attributes:
        timeout: Seconds for everything: resolving, connecting, redirects, the whole body.
        max_bytes: Size of an image at most, also for data URIs.
        allowed_hosts: Where not empty, the only hosts that may be named.
        allow_private_addresses: Whether loopback, private and other non-public addresses may be
            connected to; off, so that a client cannot make the service read what only it can reach.
    """

    timeout: float = 5.0
    max_bytes: int = 20 << 20
    allowed_hosts: frozenset[str] = frozenset()
    allow_private_addresses: bool = False


async def read_source(url: str, policy: FetchPolicy) -> bytes:
    """The bytes that ``url`` stands for.

    Raises:
        ImageSourceError, ImageFormatError, ImageTooLargeError, ImageFetchError: see their texts.
    """
    scheme = url[:16].partition(":")[0].lower()
    if scheme == "data":
        return read_data_uri(url, policy.max_bytes)
    if scheme not in ("http", "https"):
        raise ImageSourceError("An image is given as a data: URI or an http(s) URL.")
    try:
        async with asyncio.timeout(policy.timeout):
            return await _fetch(url, policy)
    except TimeoutError:
        raise ImageFetchError(f"The image did not arrive within {policy.timeout:g} s.") from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise ImageFetchError("The image's server could not be reached.") from None


def read_data_uri(url: str, max_bytes: int) -> bytes:
    """Decode ``data:[mediatype];base64,...`` (RFC 2397); raises as :func:`read_source`."""
    header, comma, data = url[5:].partition(",")
    if not comma:
        raise ImageSourceError("The data URI has no comma between its header and its data.")
    if len(data) > (max_bytes + 2) // 3 * 4 + 1024:
        raise ImageTooLargeError(f"The image has more than {max_bytes} bytes.")
    if not header.lower().endswith(";base64"):
        raise ImageSourceError("The data URI must be base64-encoded (data:image/png;base64,...).")
    try:
        decoded = pybase64.b64decode(_unescaped(data), validate=True)
    except ValueError:
        raise ImageFormatError("The data URI's base64 is broken.") from None
    if len(decoded) > max_bytes:
        raise ImageTooLargeError(f"The image has more than {max_bytes} bytes.")
    return decoded


def _unescaped(data: str) -> str:
    """Base64 without the escapes that its own characters may have in a URI.

    Those only, as a general reader makes an object of each: gibibytes of a text that is nothing else.
    """
    if "%" in data:
        for escape, character in ESCAPES.items():
            data = data.replace(escape, character)
    return data


async def _fetch(url: str, policy: FetchPolicy) -> bytes:
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(policy), use_dns_cache=False)
    # No environment proxies, cookies or credentials; one connection a fetch, so that every address
    # is checked at the moment it is connected to.
    async with aiohttp.ClientSession(
        connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        target = check_url(url, policy)
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


def check_url(url: str, policy: FetchPolicy) -> URL:
    """Parse an http(s) address once, with the parser that also connects, and check its host.

    Raises:
        ImageSourceError: malformed, with credentials, or a host that is not allowed.
    """
    if "\\" in url or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise ImageSourceError("The image's address is malformed.")
    try:
        parsed = URL(url)
        host, _ = parsed.host, parsed.port
    except ValueError:
        raise ImageSourceError("The image's address is malformed.") from None
    if parsed.scheme not in ("http", "https") or not host or parsed.user or parsed.password:
        raise ImageSourceError(
            "The image's address must be http(s), with a host and no credentials."
        )
    if policy.allowed_hosts and host.lower().rstrip(".") not in policy.allowed_hosts:
        raise ImageSourceError("Images may not be fetched from this host.")
    if _is_address(host):
        # aiohttp connects to literal addresses without asking its resolver.
        _check_address(host, policy)
    return parsed


class CheckedResolver(AbstractResolver):
    """Resolves once and returns only addresses that may be connected to."""

    def __init__(self, policy: FetchPolicy) -> None:
        self._policy = policy
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All of the host's addresses; one that is not allowed refuses the host."""
        results = await self._resolver.resolve(host, port, family)
        for result in results:
            _check_address(result["host"], self._policy)
        return results

    async def close(self) -> None:
        """Nothing is held."""


def _is_address(host: str) -> bool:
    """Whether the host is meant as a literal address, legacy numeric forms included."""
    return ":" in host or host.replace(".", "").isdigit()


def _check_address(host: str, policy: FetchPolicy) -> None:
    if policy.allow_private_addresses:
        return
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise ImageSourceError("The image's address is malformed.") from None
    for candidate in (address, *_embedded(address)):
        if not candidate.is_global or candidate.is_multicast:
            raise ImageSourceError("Images may not be fetched from this address.")


def _embedded(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address]:
    """IPv4 addresses that an IPv6 address stands for: mapped, compatible, NAT64, 6to4, Teredo."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in IPV4_IN_LAST_BITS):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [candidate for candidate in found if candidate is not None]
