"""Ends a request that takes too long; its sequences then leave the engine.

The application sees an expired request as a disconnect of its client, so vLLM's routers abort what
they have submitted. A cancellation from outside would not stop them, because they work in their own
tasks.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.error_responses import Refusal, error_body, send_error, send_json
from service.api.lifecycle import Lifecycle
from service.request_context import current_request

ABORT = "minigpt4.abort"
"""Extension in the scope of a request: a function that drops the connection with its unsent data."""

GRACE = 1.0
"""Seconds for a client to read the rest of the response after the deadline."""

HEADER = "x-request-timeout"
"""Header with the seconds that the client will wait. It can only shorten the service's limit."""


class Deadline:
    """ASGI layer: 504 before the response has begun, an error event in a stream that has.

    A request whose body has not arrived by the deadline gets 408. If a client does not read its
    response, the layer drops the connection: otherwise uvicorn, and the code that sends, would wait
    for the client.
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle, max_seconds: float) -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application until the deadline."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seconds, refusal = self._max_seconds, Refusal.DEADLINE
        if (wanted := Headers(scope=scope).get(HEADER)) is not None:
            own = _parse_seconds(wanted)
            if own is None:
                message = f"The header {HEADER} must be a positive number of seconds."
                await send_error(send, 400, message, parameter=HEADER)
                return
            if own < seconds:
                seconds, refusal = own, Refusal.CLIENT_DEADLINE
        exchange = _Exchange(receive, send, scope.get("extensions", {}).get(ABORT))
        message = f"The request took longer than {seconds:g} seconds."
        timer = asyncio.get_running_loop().call_later(
            seconds, exchange.expire, refusal, message, 504
        )
        self._lifecycle.exchanges.add(exchange)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            if not exchange.expired.is_set():
                raise
        finally:
            timer.cancel()
            self._lifecycle.exchanges.discard(exchange)
        if exchange.expired.is_set() and not exchange.complete:
            current_request().refusal = exchange.refusal
            await exchange.send_end()


def _parse_seconds(text: str) -> float | None:
    with suppress(ValueError):
        seconds = float(text)
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return None


class _Exchange:
    """The messages of one request in both directions, until ``expired`` is set."""

    def __init__(self, receive: Receive, send: Send, abort: Callable[[], None] | None) -> None:
        self.expired = asyncio.Event()
        self.complete = False
        self.refusal = Refusal.DEADLINE
        self._message = ""
        self._status = 504
        self._receive = receive
        self._send = send
        self._abort = abort
        self._sending = 0
        self._arrived = False
        self._headers: Headers | None = None

    def cut(self) -> None:
        """End the request because the service stops."""
        self.expire(Refusal.DRAINING, "The service is stopping.", 503)

    def expire(self, refusal: Refusal, message: str, status: int) -> None:
        """End the request; a slow client has a little more time to read."""
        if self.expired.is_set():
            return
        self.refusal, self._message, self._status = refusal, message, status
        self.expired.set()
        self._abort_after_grace()

    def _abort_after_grace(self) -> None:
        asyncio.get_running_loop().call_later(GRACE, self._abort_if_sending)

    def _abort_if_sending(self) -> None:
        if self._sending and self._abort is not None:
            self._abort()

    async def receive(self) -> Message:
        """The client's next message, or a disconnect at the deadline."""
        message = asyncio.ensure_future(self._receive())
        expired = asyncio.ensure_future(self.expired.wait())
        try:
            await asyncio.wait({message, expired}, return_when=asyncio.FIRST_COMPLETED)
            if not message.done():
                return {"type": "http.disconnect"}
        finally:
            expired.cancel()
            message.cancel()  # has no effect on a future that is done
        self._arrived = self._arrived or not message.result().get("more_body", False)
        return message.result()

    async def send(self, message: Message) -> None:
        """Pass the response on and remember its progress."""
        if self.expired.is_set():
            return
        if message["type"] == "http.response.start":
            self._headers = Headers(raw=message["headers"])
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
        await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        self._sending += 1
        try:
            await self._send(message)
        finally:
            self._sending -= 1

    async def send_end(self) -> None:
        """Tell the client that the request was ended, in the form that is still possible."""
        self._abort_after_grace()
        status = self._status if self._arrived else 408
        body = error_body(status, self._message)
        if self._headers is None:
            await send_json(self._pass_on, status, body)
        elif "event-stream" in self._headers.get("content-type", ""):
            event = b"event: error\ndata: " + body + b"\n\n"
            await self._pass_on({"type": "http.response.body", "body": event})
