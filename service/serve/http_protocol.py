"""uvicorn's HTTP protocol with limits on a request's head, in bytes and in seconds.

httptools buffers a header until it is complete, without a limit of size or time. It does the same
with the trailers after a chunked body.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.middleware.deadline import ABORT

MAX_HEAD_BYTES = 65_536
"""Limit of request line and headers together. It also applies to the data between two pieces of a
chunked body, or after the last piece. nginx's limit is about half of it."""

HEAD_SECONDS = 30.0
"""Time from the connection, or from the first byte of a later request, to the end of the headers."""


class BoundedHead(HttpToolsProtocol):
    """Closes a connection when the head of its next request is too large or does not arrive."""

    _head_bytes = 0
    _in_head = True
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first head."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count bytes outside of bodies; the handlers below reset the count when a body begins."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self._in_head:
                self.send_400_response("The request's headers are too large.")
            else:
                self.transport.close()  # a response may have begun

    def on_message_begin(self) -> None:
        """Start waiting for the head of a request on a connection that was idle."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]
        self._in_head = True
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._close)

    def on_headers_complete(self) -> None:
        """Stop waiting: the head is complete."""
        self._in_head = False
        self._head_bytes = 0
        self._cancel_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Reset the count; :class:`service.api.middleware.body_limit.BodyLimit` bounds bodies."""
        self._head_bytes = 0
        super().on_body(body)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self._timer = None
        self.transport.close()
