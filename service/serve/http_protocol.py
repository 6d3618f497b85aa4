"""uvicorn's HTTP protocol with a bound on a request's head, in bytes and in time.

httptools keeps a header until it is complete, however long that takes and however large it grows; so it
does with the trailers after a chunked body.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.middleware.deadline import ABORT

MAX_HEAD_BYTES = 65_536
"""Request line and headers together, and again what comes between two pieces of a body or after the last;
nginx allows about half of it."""

HEAD_SECONDS = 30.0
"""From the first byte of a request, or from the connection, to the end of its headers."""


class BoundedHead(HttpToolsProtocol):
    """Closes connections whose next request's head is too large or does not arrive."""

    _head_bytes = 0
    _in_head = True
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first head."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what is no body; the beginning of one in the same packet ends the counting."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self._in_head:
                self.send_400_response("The request's headers are too large.")
            else:
                self.transport.close()  # an answer may have begun

    def on_message_begin(self) -> None:
        """A request's first byte, on a connection that may have waited for long."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]
        self._in_head = True
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._head_bytes = 0
        self._cancel_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body, bounded elsewhere."""
        self._head_bytes = 0
        super().on_body(body)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        self.transport.close()
