"""Addresses that images may be fetched from: where a client must not send the service."""

import ipaddress

from yarl import URL

from service.errors import ImageSourceError
from service.images.fetch_policy import FetchPolicy

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

IPV4_IN_LAST_BITS = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b::/96"))

INNER_NETWORKS = (
    # NAT64 of a network's own, whose IPv4 part may stand anywhere (RFC 8215).
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    # IPv4 translated by the host itself (RFC 2765).
    ipaddress.IPv6Network("::ffff:0:0:0/96"),
    # Site-local: deprecated, still routed in places (RFC 3879).
    ipaddress.IPv6Network("fec0::/10"),
    # Azure's host agent has secrets of the machine, at an address of the public range:
    # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    ipaddress.IPv4Network("168.63.129.16/32"),
)
"""Networks that lead inside although :mod:`ipaddress` calls them global."""


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
        check_address(host, policy)
    return parsed


def _is_address(host: str) -> bool:
    """Whether the host is meant as a literal address, legacy numeric forms included."""
    return ":" in host or host.replace(".", "").isdigit()


def check_address(host: str, policy: FetchPolicy) -> None:
    """Raise :class:`ImageSourceError` for an address that may not be connected to."""
    if policy.allow_private_addresses:
        return
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise ImageSourceError("The image's address is malformed.") from None
    for candidate in (address, *_embedded(address)):
        if not _is_public(candidate):
            raise ImageSourceError("Images may not be fetched from this address.")


def _is_public(address: Address) -> bool:
    if any(address in network for network in INNER_NETWORKS):
        return False
    return address.is_global and not address.is_multicast


def _embedded(address: Address) -> list[ipaddress.IPv4Address]:
    """IPv4 addresses that an IPv6 address stands for: mapped, compatible, NAT64, 6to4, Teredo."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in IPV4_IN_LAST_BITS):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [candidate for candidate in found if candidate is not None]
