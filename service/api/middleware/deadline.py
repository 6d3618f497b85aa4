"""The longest a request may take; when it is over, its sequences leave the engine.

To the application an expired request looks like one whose client has gone away, which is when vLLM's
routers abort what they have submitted. Cancelling them from outside would leave it running: they do
their work in tasks of their own.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.error_responses import error_body
from service.api.lifecycle import State, respond

ABORT = "minigpt4.abort"
"""Extension in the scope of a request: a function that drops its connection, and what waits to be sent."""

GRACE = 1.0
"""Seconds for a client to read the rest, once the time is over."""

HEADER = "x-request-timeout"
"""Seconds that the client will wait; may shorten the service's own limit, never lengthen it."""

LATE, GAVE_UP = "deadline", "client_deadline"
"""Reasons (``state["rejected"]``) by whose limit was over: the service's own, or the client's."""


class Deadline:
    """ASGI layer: 504 before the answer has begun, an error event in a stream that has.

    A request that has not arrived by then, which is the client's doing, gets 408. A client that does not
    read what it is sent loses its connection: uvicorn waits for it, and so would whoever sends.
    """

    def __init__(self, app: ASGIApp, max_seconds: float) -> None:
        self._app = app
        self._max_seconds = max_seconds
        self._under_way: set[_Exchange] = set()

    def cut(self) -> None:
        """End all requests that are under way, each with a word to its client: the service stops."""
        for exchange in self._under_way:
            exchange.expire(State.DRAINING, "The service is stopping.", 503)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for as long as the request may take."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seconds, reason = self._max_seconds, LATE
        if (wanted := Headers(scope=scope).get(HEADER)) is not None:
            own = _seconds(wanted)
            if own is None:
                message = f"The header {HEADER} must be a positive number of seconds."
                await respond(send, 400, error_body(message, "BadRequestError", 400, HEADER))
                return
            if own < seconds:
                seconds, reason = own, GAVE_UP
        abort = scope.get("extensions", {}).get(ABORT)
        exchange = _Exchange(receive, send, abort)
        text = f"The request took longer than {seconds:g} seconds."
        timer = asyncio.get_running_loop().call_later(seconds, exchange.expire, reason, text, 504)
        self._under_way.add(exchange)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            if not exchange.expired.is_set():
                raise
        finally:
            timer.cancel()
            self._under_way.discard(exchange)
        if exchange.expired.is_set() and not exchange.complete:
            scope.setdefault("state", {})["rejected"] = exchange.reason
            await exchange.end()


def _seconds(text: str) -> float | None:
    with suppress(ValueError):
        seconds = float(text)
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return None


class _Exchange:
    """One request's messages in both directions; none pass once ``expired`` is set."""

    def __init__(self, receive: Receive, send: Send, abort: Callable[[], None] | None) -> None:
        self.expired = asyncio.Event()
        self.complete = False
        self.reason = self._text = ""
        self._status = 0
        self._receive = receive
        self._send = send
        self._abort = abort
        self._sending = 0
        self._arrived = False
        self._headers: Headers | None = None

    def expire(self, reason: str, text: str, status: int) -> None:
        """The time is over; who waits for the client to read waits a little longer, not for ever."""
        if self.expired.is_set():
            return
        self.reason, self._text, self._status = reason, text, status
        self.expired.set()
        self._give_up_soon()

    def _give_up_soon(self) -> None:
        asyncio.get_running_loop().call_later(GRACE, self._give_up)

    def _give_up(self) -> None:
        if self._sending and self._abort is not None:
            self._abort()

    async def receive(self) -> Message:
        """What the client sends; a disconnect when the time is over."""
        message = asyncio.ensure_future(self._receive())
        expired = asyncio.ensure_future(self.expired.wait())
        try:
            await asyncio.wait({message, expired}, return_when=asyncio.FIRST_COMPLETED)
            if not message.done():
                return {"type": "http.disconnect"}
        finally:
            expired.cancel()
            message.cancel()  # without effect on one that is done
        self._arrived = self._arrived or not message.result().get("more_body", False)
        return message.result()

    async def send(self, message: Message) -> None:
        """Pass the answer on and remember how far it is."""
        if self.expired.is_set():
            return
        if message["type"] == "http.response.start":
            self._headers = Headers(raw=message["headers"])
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
        await self._pass(message)

    async def _pass(self, message: Message) -> None:
        self._sending += 1
        try:
            await self._send(message)
        finally:
            self._sending -= 1

    async def end(self) -> None:
        """Say that the time is over, in whatever form still fits."""
        self._give_up_soon()
        status = self._status if self._arrived else 408
        kind = "ServiceUnavailableError" if status == 503 else "TimeoutError"
        body = error_body(self._text, kind, status)
        if self._headers is None:
            await respond(self._pass, status, body)
        elif "event-stream" in self._headers.get("content-type", ""):
            event = b"event: error\ndata: " + body + b"\n\n"
            await self._pass({"type": "http.response.body", "body": event})
