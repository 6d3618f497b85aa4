"""Sends a comment in every event stream that has been silent for a while, so that no proxy closes it.

vLLM's own keep-alive covers two routes, and makes a task with a timeout for every chunk: 6 % of the event
loop's samples at 64 streams. Here one timer for each stream checks whether anything was sent.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COMMENT = b": keep-alive\n\n"
"""Clients of server-sent events skip lines that begin with a colon."""


class KeepAlive:
    """ASGI layer around the application."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        """``seconds`` is the longest silence."""
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch the response, if it is an event stream."""
        stream = _Stream(send, self._seconds)
        try:
            await self._app(scope, receive, stream.send)
        finally:
            stream.end()


class _Stream:
    """One response on its way to the client."""

    def __init__(self, send: Send, seconds: float) -> None:
        self._send = send
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._last_sent = self._loop.time()
        self._sending = 0
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on; the first one says whether the response is an event stream."""
        if message["type"] == "http.response.start":
            if "event-stream" in Headers(raw=message["headers"]).get("content-type", ""):
                self._timer = self._loop.call_later(self._seconds, self._check_silence)
        elif not message.get("more_body", False):
            self.end()
        await self._pass_on(message)

    def end(self) -> None:
        """Send no more comments. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_silence(self) -> None:
        now = self._loop.time()
        # A client that does not read what was sent is not waiting for more.
        due = now + self._seconds if self._sending else self._last_sent + self._seconds
        if due <= now:
            self._comment = self._loop.create_task(self._send_comment())
            due = now + self._seconds
        self._timer = self._loop.call_at(due, self._check_silence)

    async def _send_comment(self) -> None:
        # Since the timer fired, the stream may have ended or sent something.
        if self._timer is not None and self._loop.time() - self._last_sent >= self._seconds:
            await self._pass_on({"type": "http.response.body", "body": COMMENT, "more_body": True})

    async def _pass_on(self, message: Message) -> None:
        self._sending += 1
        try:
            await self._send(message)
        finally:
            self._sending -= 1
            self._last_sent = self._loop.time()
