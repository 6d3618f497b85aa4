"""A limit by the minute as a leaky bucket: use fills it, time empties it."""

from dataclasses import dataclass

from service.usage.ledger import Allowance


@dataclass(slots=True)
class Meter:
    """Units that were used and have not drained yet.

    The state does not hold the limit: after a change of the limit, the same use counts against the
        new one.

    Attributes:
        used: Units; more than the limit where an answer was longer than what was left.
        updated: Time in seconds, of any clock that does not jump.
    """

    used: float
    updated: float

    def drain(self, limit: int | None, now: float) -> None:
        """Let the time since the last update pass. Without a limit nothing is kept."""
        if limit is None:
            self.used = 0.0
        else:
            self.used = max(0.0, self.used - max(0.0, now - self.updated) * limit / 60)
        self.updated = now

    def seconds_until(self, units: float, limit: int) -> float:
        """Seconds until at most ``units`` are used."""
        return max(0.0, (self.used - units) * 60 / limit)

    def allowance(self, limit: int | None) -> Allowance | None:
        """What is left; None without a limit."""
        if limit is None:
            return None
        return Allowance(limit, max(0, int(limit - self.used)), self.seconds_until(0, limit))
