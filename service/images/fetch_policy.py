"""What an operator allows images to be fetched from."""

from dataclasses import dataclass

from service.settings import Settings


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

    @classmethod
    def from_settings(cls, settings: Settings) -> "FetchPolicy":
        """The policy that the operator's settings describe."""
        return cls(
            timeout=settings.image_fetch_timeout,
            max_bytes=settings.image_max_bytes,
            allowed_hosts=frozenset(host.lower() for host in settings.image_allowed_hosts),
            allow_private_addresses=settings.image_allow_private_addresses,
        )
