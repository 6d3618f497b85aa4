"""Unpacks request bodies with ``Content-Encoding: gzip`` or ``deflate``, piece by piece.

The inner layers count unpacked bytes, so that a small body cannot unpack to more than the limits
allow.
"""

import zlib

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.error_responses import send_error

WINDOW_BITS = {
    "gzip": 16 + zlib.MAX_WBITS,
    "x-gzip": 16 + zlib.MAX_WBITS,
    "deflate": zlib.MAX_WBITS,
}
PIECE_BYTES = 1 << 18
"""Largest piece that is unpacked at once."""

BROKEN = "The body cannot be unpacked: it is not in the format that Content-Encoding names."
UNKNOWN = (
    "This Content-Encoding is not supported. A body is sent plain, or packed with gzip or deflate."
)


class Decompress:
    """ASGI layer: 415 for another encoding, 400 for a body that cannot be unpacked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the request's Content-Encoding."""
        headers = MutableHeaders(scope=scope) if scope["type"] == "http" else None
        encoding = headers.get("content-encoding", "identity").strip().lower() if headers else ""
        if headers is None or encoding == "identity":
            await self._app(scope, receive, send)
            return
        if encoding not in WINDOW_BITS:
            await send_error(send, 415, UNKNOWN, parameter="content-encoding")
            return
        del headers["content-encoding"]
        if "content-length" in headers:
            del headers["content-length"]  # the packed length
        body = _PackedBody(receive, send, WINDOW_BITS[encoding])
        try:
            await self._app(scope, body.receive, body.send)
        except ClientDisconnect:
            if not body.broken:
                raise
        if body.broken and not body.response_started:
            await send_error(send, 400, BROKEN, parameter="content-encoding")


class _PackedBody:
    """The body of one request. If it is broken, the application sees a disconnected client."""

    def __init__(self, receive: Receive, send: Send, window_bits: int) -> None:
        self._receive = receive
        self._send = send
        self._unpacker = zlib.decompressobj(window_bits)
        self._packed = b""
        self._more_packed = True
        self._complete = False
        self.broken = False
        self.response_started = False

    async def receive(self) -> Message:
        """The next piece of the unpacked body."""
        if self.broken:
            return {"type": "http.disconnect"}
        if self._complete:
            return await self._receive()
        if not self._packed and self._more_packed:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._packed = message.get("body", b"")
            self._more_packed = message.get("more_body", False)
        return self._unpack()

    def _unpack(self) -> Message:
        try:
            piece = self._unpacker.decompress(self._packed, PIECE_BYTES)
        except zlib.error:
            self.broken = True
            return {"type": "http.disconnect"}
        self._packed = self._unpacker.unconsumed_tail
        more = bool(self._packed) or len(piece) == PIECE_BYTES or self._more_packed
        if not more and not self._unpacker.eof:
            self.broken = True  # cut off
            return {"type": "http.disconnect"}
        self._complete = not more
        return {"type": "http.request", "body": piece, "more_body": more}

    async def send(self, message: Message) -> None:
        # The application's answer to a disconnected client is not the answer to send.
        if not self.broken:
            self.response_started = True
            await self._send(message)
