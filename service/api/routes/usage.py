"""``GET /v1/usage``: what the request's API key has used, and what is left of its limits."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from service.request_context import current_request
from service.usage.ledger import Allowance
from service.usage.recording import shared_ledger


class Limits(BaseModel):
    """The key's limits; null for no limit."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_requests: int | None
    models: list[str] | None


class Remaining(BaseModel):
    """The amounts that can be used now; null without a limit."""

    requests: int | None
    tokens: int | None


class UsageReport(BaseModel):
    """Sums since ``since`` (Unix time, seconds)."""

    object: Literal["usage"] = "usage"
    key: str
    since: int
    requests: int
    input_tokens: int
    output_tokens: int
    images: int
    bytes_received: int
    bytes_sent: int
    encoder_seconds: float
    engine_seconds: float
    limits: Limits
    remaining: Remaining


def usage_router() -> APIRouter:
    """The route."""
    router = APIRouter(tags=["usage"])

    @router.get("/v1/usage")
    async def read_usage() -> UsageReport:
        """What this API key has used. Without keys: what all clients together have used."""
        context, ledger = current_request(), shared_ledger()
        used, left = ledger.read(context.tenant), ledger.peek(context.tenant, context.limits)
        models = context.limits.models
        return UsageReport(
            key=context.tenant,
            since=int(ledger.since),
            requests=int(used.requests),
            input_tokens=int(used.input_tokens),
            output_tokens=int(used.output_tokens),
            images=int(used.images),
            bytes_received=int(used.bytes_received),
            bytes_sent=int(used.bytes_sent),
            encoder_seconds=round(used.encoder_seconds, 4),
            engine_seconds=round(used.engine_seconds, 4),
            limits=Limits(
                requests_per_minute=context.limits.requests_per_minute,
                tokens_per_minute=context.limits.tokens_per_minute,
                concurrent_requests=context.limits.concurrent_requests,
                models=None if models is None else sorted(models),
            ),
            remaining=Remaining(requests=_remaining(left.requests), tokens=_remaining(left.tokens)),
        )

    return router


def _remaining(allowance: Allowance | None) -> int | None:
    return None if allowance is None else allowance.remaining
