"""ASGI middleware around vLLM's application: body size in, Retry-After out."""

from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.error_responses import error_body
from service.api.lifecycle import respond


class BodyLimit:
    """Refuses a request body of more than ``max_bytes`` with 413, before it is held in memory."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives; a declared length is believed only when it is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_bytes:
            await self._refuse(send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise _BodyTooLargeError
            return message

        async def watched(message: Message) -> None:
            # What the application makes of the broken body is not what the client should hear.
            if received <= self._max_bytes:
                await send(message)

        with suppress(_BodyTooLargeError):
            await self._app(scope, counted, watched)
        if received > self._max_bytes:
            await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        message = f"The request's body has more than {self._max_bytes} bytes."
        await respond(send, 413, error_body(message, "BadRequestError", 413))


class _BodyTooLargeError(Exception):
    """Ends the reading of a body; never leaves this module."""


class RetryAfter:
    """Adds Retry-After to every 429 and 503 that has none, vLLM's queue limits among them."""

    def __init__(self, app: ASGIApp, seconds: Callable[[], int]) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the response's start only."""

        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (429, 503):
                MutableHeaders(scope=message).setdefault("retry-after", str(self._seconds()))
            await send(message)

        await self._app(scope, receive, with_header)
