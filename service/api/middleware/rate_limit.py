"""Holds the requests of each API key to the key's limits.

Tokens are charged when they are known: a prompt's when the engine has it, an answer's when it has
ended. So a request is admitted while one token is left. If it uses more, the next request is
admitted after the excess has drained.
"""

import math

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.error_responses import Refusal, send_error
from service.request_context import RequestContext, current_request
from service.usage.amounts import NO_LIMITS
from service.usage.ledger import Admission
from service.usage.recording import shared_ledger

UNITS = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
    "concurrent_requests": "requests at the same time",
}


class RateLimit:
    """ASGI layer: 429 for a request beyond a limit of its API key.

    Other responses say what is left of the limits, in OpenAI's headers
    (https://platform.openai.com/docs/guides/rate-limits).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count POST requests; other requests cost almost nothing."""
        context = current_request()
        counted = scope["type"] == "http" and scope["method"] == "POST"
        if not counted or context.limits == NO_LIMITS:
            await self._app(scope, receive, send)
            return
        ledger = shared_ledger()
        admission = ledger.admit(context.tenant, context.limits)
        if admission.refused_by is not None:
            await _refuse(send, context, admission)
            return
        try:
            await self._app(scope, receive, _add_headers(send, admission))
        finally:
            ledger.leave(context.tenant)


def rate_limit_headers(admission: Admission) -> dict[str, str]:
    """OpenAI's headers for the limits that the key has."""
    headers = {}
    for unit, allowance in (("requests", admission.requests), ("tokens", admission.tokens)):
        if allowance is not None:
            headers[f"x-ratelimit-limit-{unit}"] = str(allowance.limit)
            headers[f"x-ratelimit-remaining-{unit}"] = str(allowance.remaining)
            headers[f"x-ratelimit-reset-{unit}"] = format_seconds(allowance.reset_seconds)
    return headers


def format_seconds(seconds: float) -> str:
    """A duration as OpenAI writes it: ``17ms``, ``1.5s``, ``6m0s``."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return (f"{minutes}m" if minutes else "") + f"{rest / 1000:g}s"


async def _refuse(send: Send, context: RequestContext, admission: Admission) -> None:
    name = admission.refused_by
    assert name is not None
    seconds = max(1, math.ceil(admission.retry_seconds))
    message = (
        f"The API key {context.tenant} may use {getattr(context.limits, name)} {UNITS[name]}; "
        f"try again in {seconds} s."
    )
    headers = rate_limit_headers(admission)
    refusal = Refusal.RATE_LIMIT
    await send_error(send, 429, message, refusal=refusal, retry_after=seconds, headers=headers)


def _add_headers(send: Send, admission: Admission) -> Send:
    headers = rate_limit_headers(admission)

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return send_with_headers
