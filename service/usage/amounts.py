"""What can be used, and the limits that an operator can set."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Amounts that one API key has used; each field is a sum.

    Attributes:
        requests: Requests that were answered, refusals included.
        input_tokens: Tokens of prompts, images included, also of requests that were aborted.
        output_tokens: Tokens that the engine generated, also for requests that were aborted.
        images: Images that were encoded or found in the cache.
        bytes_received: Bytes of request bodies as they arrived, and of images fetched by URL.
        bytes_sent: Bytes of response bodies.
        encoder_seconds: Shares of the vision encoder's batches; an image from the cache costs
            nothing.
        engine_seconds: Time in the engine after its queue. Requests that run together count the
            same time each.
    """

    requests: float = 0
    input_tokens: float = 0
    output_tokens: float = 0
    images: float = 0
    bytes_received: float = 0
    bytes_sent: float = 0
    encoder_seconds: float = 0
    engine_seconds: float = 0

    @property
    def tokens(self) -> float:
        """Tokens in both directions: what a limit on tokens counts."""
        return self.input_tokens + self.output_tokens

    @property
    def amounts(self) -> tuple[float, ...]:
        """Return all fields in order; ``dataclasses.astuple`` takes ten times as long."""
        return (
            self.requests,
            self.input_tokens,
            self.output_tokens,
            self.images,
            self.bytes_received,
            self.bytes_sent,
            self.encoder_seconds,
            self.engine_seconds,
        )


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Limits of one API key; None for no limit.

    Attributes:
        requests_per_minute: Requests with a body (POST).
        tokens_per_minute: Tokens of prompts and answers.
        concurrent_requests: Requests with a body at the same time, streams included.
        models: Names of the models that the key may use.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    models: frozenset[str] | None = None


NO_LIMITS = KeyLimits()
