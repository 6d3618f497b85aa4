"""The interface of the figures of all API keys, and what admission answers."""

from dataclasses import dataclass
from typing import Protocol

from service.usage.amounts import KeyLimits, Usage


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit that counts by the minute.

    Attributes:
        limit: Units a minute.
        remaining: Whole units that can be used now.
        reset_seconds: Seconds until ``limit`` units can be used, if nothing is used until then.
    """

    limit: int
    remaining: int
    reset_seconds: float


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to a request of one API key.

    Attributes:
        refused_by: Name of the limit that refuses the request, as in :class:`KeyLimits`; None for
            an admitted one.
        retry_seconds: Seconds after which that limit admits a request; 0 for an admitted one.
        requests: What is left of ``requests_per_minute``; None without that limit.
        tokens: What is left of ``tokens_per_minute``; None without that limit.
    """

    refused_by: str | None = None
    retry_seconds: float = 0.0
    requests: Allowance | None = None
    tokens: Allowance | None = None


class Ledger(Protocol):
    """Figures of all API keys.

    Thread-safe; one that several processes share is also safe between them.
    """

    def add(self, key: str, used: Usage) -> None:
        """Add amounts to a key's sums, and count their tokens against its limit."""

    def read(self, key: str) -> Usage:
        """A key's sums."""

    def admit(self, key: str, limits: KeyLimits) -> Admission:
        """Count a request against a key's limits, or say which limit refuses it.

        An admitted request must be followed by :meth:`leave`.
        """

    def leave(self, key: str) -> None:
        """Count the end of an admitted request."""

    def peek(self, key: str, limits: KeyLimits) -> Admission:
        """What is left of a key's limits, without counting a request."""

    def label(self, key: str) -> str:
        """Return the label of a metric: ``key``, or ``other`` if there are too many names."""

    @property
    def since(self) -> float:
        """Time (Unix, seconds) at which the sums began."""
