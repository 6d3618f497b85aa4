"""Tells clients when to retry after a refusal because of overload."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.backend import Backend


class RetryAfter:
    """ASGI layer: adds Retry-After to each 429 and 503 without it, also to vLLM's."""

    def __init__(self, app: ASGIApp, backend: Backend) -> None:
        self._app = app
        self._backend = backend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the start of the response."""

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (429, 503):
                seconds = self._backend.loaded.retry_after()
                MutableHeaders(scope=message).setdefault("retry-after", str(seconds))
            await send(message)

        await self._app(scope, receive, send_with_header)
