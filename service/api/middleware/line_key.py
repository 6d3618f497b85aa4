"""Gives the line of a batch the rights of the API key that created the batch."""

import math
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.api_keys import KeySource
from service.api.error_responses import Refusal, send_error
from service.request_context import current_request
from service.usage.amounts import KeyLimits
from service.usage.recording import shared_ledger

GONE = "The API key that created this batch does not exist any more."
WAITS = "The line waits: less than half of the API key's tokens a minute is left."


class LineKey:
    """ASGI layer: 401 for a removed key, 429 while a line would use tokens that requests need.

    A line does not count as a request, neither for requests per minute nor for concurrent ones.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[KeySource]) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look the key up by its name."""
        context = current_request()
        found = [line for source in self._keys if (line := source.find_name(context.tenant))]
        if not found:
            await send_error(send, 401, GONE, refusal=Refusal.UNAUTHORIZED)
            return
        context.limits = found[0].limits
        limits = KeyLimits(tokens_per_minute=context.limits.tokens_per_minute)
        tokens = shared_ledger().peek(context.tenant, limits).tokens
        if tokens is not None and tokens.remaining * 2 < tokens.limit:
            seconds = max(1, math.ceil(tokens.reset_seconds / 2))
            await send_error(send, 429, WAITS, refusal=Refusal.RATE_LIMIT, retry_after=seconds)
            return
        await self._app(scope, receive, send)
