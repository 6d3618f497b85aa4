"""Keeps proxies from buffering an event stream, and from closing it while it is silent.

vLLM's own keep-alive covers two routes, and makes a task with a timeout for each chunk: 6 % of the
event loop's time at 64 streams. Here, each stream has one timer, which checks whether anything was
sent.
"""

import asyncio

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COMMENT = b": keep-alive\n\n"
"""Clients of server-sent events skip lines that begin with a colon."""

HEADERS = {
    "cache-control": "no-cache",
    # For nginx, and for ingress controllers that are based on it.
    "x-accel-buffering": "no",
}


class EventStream:
    """ASGI layer: headers for every event stream, and a comment after each silence."""

    def __init__(self, app: ASGIApp, silence_seconds: float) -> None:
        """``silence_seconds`` is the longest silence; with 0 no comments are sent."""
        self._app = app
        self._silence_seconds = silence_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch the response, if it is an event stream."""
        response = _Response(send, self._silence_seconds)
        try:
            await self._app(scope, receive, response.send)
        finally:
            response.end()


class _Response:
    """One response on its way to the client."""

    def __init__(self, send: Send, silence_seconds: float) -> None:
        self._send = send
        self._silence_seconds = silence_seconds
        self._loop = asyncio.get_running_loop()
        self._last_sent = self._loop.time()
        self._sending = 0
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on; the first one says whether the response is an event stream."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if "event-stream" in headers.get("content-type", ""):
                headers.update(HEADERS)
                if self._silence_seconds:
                    self._timer = self._loop.call_later(self._silence_seconds, self._check)
        elif not message.get("more_body", False):
            self.end()
        await self._pass_on(message)

    def end(self) -> None:
        """Send no more comments. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        now = self._loop.time()
        # The client has not read the earlier data, so it is not waiting for more.
        begin = now if self._sending else self._last_sent
        due = begin + self._silence_seconds
        if due <= now:
            self._comment = self._loop.create_task(self._send_comment())
            due = now + self._silence_seconds
        self._timer = self._loop.call_at(due, self._check)

    async def _send_comment(self) -> None:
        # Since the timer fired, the stream may have ended or sent something.
        silence = self._loop.time() - self._last_sent
        if self._timer is not None and silence >= self._silence_seconds:
            await self._pass_on({"type": "http.response.body", "body": COMMENT, "more_body": True})

    async def _pass_on(self, message: Message) -> None:
        self._sending += 1
        try:
            await self._send(message)
        finally:
            self._sending -= 1
            self._last_sent = self._loop.time()
