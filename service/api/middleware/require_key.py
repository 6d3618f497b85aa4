"""Requires an API key if keys are configured."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.api_keys import KeySource
from service.api.error_responses import Refusal, send_error
from service.request_context import current_request

GUARDED = ("/v1/", "/tokenize", "/detokenize")
"""Parts of the paths that need a key: all routes that cost work or describe the model. They match
anywhere in the path, because the routes also answer below ``--root-path``."""

MESSAGE = "A valid API key is needed: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`."


class RequireKey:
    """ASGI layer: 401 without a known key.

    The request gets the key's name as its tenant, and the key's limits.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[KeySource]) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check guarded paths. A preflight request carries no key and does no work."""
        guarded = scope["type"] == "http" and any(part in scope["path"] for part in GUARDED)
        if guarded and scope["method"] != "OPTIONS":
            key = _presented_key(Headers(scope=scope))
            found = [line for source in self._keys if (line := source.find(key))]
            if not found:
                await send_error(send, 401, MESSAGE, refusal=Refusal.UNAUTHORIZED)
                return
            context = current_request()
            context.tenant, context.limits = found[0].name, found[0].limits
        await self._app(scope, receive, send)


def _presented_key(headers: Headers) -> str:
    """Return the key. OpenAI's clients send a bearer token, Anthropic's clients ``x-api-key``."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
