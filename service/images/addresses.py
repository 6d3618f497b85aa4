"""Checks of URLs and IP addresses, so that a client cannot make the service read internal hosts."""

import ipaddress

from yarl import URL

from service.errors import ImageSourceError
from service.images.fetch_policy import FetchPolicy

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

IPV4_IN_LAST_BITS = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b::/96"))
"""IPv6 networks whose last 32 bits are an IPv4 address: IPv4-compatible and NAT64."""

INNER_NETWORKS = (
    # Local-use NAT64, whose IPv4 part may be at any position (RFC 8215).
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    # IPv4-translated addresses, which the host itself translates (RFC 2765).
    ipaddress.IPv6Network("::ffff:0:0:0/96"),
    # Site-local addresses: deprecated, but some networks still route them (RFC 3879).
    ipaddress.IPv6Network("fec0::/10"),
    # Azure's host agent holds the machine's secrets and has an address in the public range:
    # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    ipaddress.IPv4Network("168.63.129.16/32"),
)
"""Networks that lead to internal hosts although :mod:`ipaddress` calls them global."""


def check_url(url: str, policy: FetchPolicy) -> URL:
    """Parse an http(s) URL and check its host.

    The caller connects to the returned object. Parsing the text a second time could give another
    host.

    Raises:
        ImageSourceError: the URL is malformed, has credentials, or names a forbidden host.
    """
    if "\\" in url or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise ImageSourceError("The image URL is malformed.")
    try:
        parsed = URL(url)
        host, _ = parsed.host, parsed.port
    except ValueError:
        raise ImageSourceError("The image URL is malformed.") from None
    if parsed.scheme not in ("http", "https") or not host or parsed.user or parsed.password:
        raise ImageSourceError(
            "The image URL must be http(s), with a host and without credentials."
        )
    if policy.allowed_hosts and host.lower().rstrip(".") not in policy.allowed_hosts:
        raise ImageSourceError("Images may not be fetched from this host.")
    if _is_literal_address(host):
        # aiohttp does not call its resolver for a literal address.
        check_address(host, policy)
    return parsed


def _is_literal_address(host: str) -> bool:
    """Return whether the host is an IP address and not a name, legacy numeric forms included."""
    return ":" in host or host.replace(".", "").isdigit()


def check_address(host: str, policy: FetchPolicy) -> None:
    """Raise :class:`ImageSourceError` if the service must not connect to this IP address."""
    if policy.allow_private_addresses:
        return
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise ImageSourceError("The image URL is malformed.") from None
    for candidate in (address, *_embedded_ipv4(address)):
        if not _is_public(candidate):
            raise ImageSourceError("Images may not be fetched from this address.")


def _is_public(address: Address) -> bool:
    if any(address in network for network in INNER_NETWORKS):
        return False
    return address.is_global and not address.is_multicast


def _embedded_ipv4(address: Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses in an IPv6 address: mapped, compatible, NAT64, 6to4, Teredo."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in IPV4_IN_LAST_BITS):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [candidate for candidate in found if candidate is not None]
