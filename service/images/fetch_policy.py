"""The operator's rules for fetching images from URLs."""

from dataclasses import dataclass, field

from service.settings import DEFAULT_USER_AGENT, Settings


@dataclass(frozen=True)
class FetchPolicy:
    """The rules.

    Attributes:
        timeout: Seconds for one fetch: the wait for a slot, DNS, redirects and the whole body.
        max_bytes: Maximum size of an image, in bytes; also for data URIs.
        allowed_hosts: If not empty, the only hosts that a URL may name.
        allow_private_addresses: Whether the service may connect to loopback, private and other
            non-public addresses. Off by default, so that a client cannot read the operator's
            internal network.
        user_agent: ``User-Agent`` header.
        proxy: URL of an HTTP proxy, with its credentials if it has any.
    """

    timeout: float = 5.0
    max_bytes: int = 20 << 20
    allowed_hosts: frozenset[str] = frozenset()
    allow_private_addresses: bool = False
    user_agent: str = DEFAULT_USER_AGENT
    proxy: str | None = field(default=None, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> "FetchPolicy":
        """Read the rules from the settings."""
        proxy = settings.image_proxy
        return cls(
            timeout=settings.image_fetch_timeout,
            max_bytes=settings.image_max_bytes,
            allowed_hosts=frozenset(host.lower() for host in settings.image_allowed_hosts),
            allow_private_addresses=settings.image_allow_private_addresses,
            user_agent=settings.image_user_agent,
            proxy=proxy.get_secret_value() if proxy else None,
        )
