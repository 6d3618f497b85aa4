"""Limits the memory of request bodies, of each one and of all together, while they arrive.

A body stays in memory until its request is answered, also for a stream, and it arrives before the engine has
a slot for the request. So the size of one body and the number of slots do not limit the sum.
"""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.error_responses import Refusal, send_error, send_overloaded
from service.shared_count import Count, LocalCount


class BodyLimit:
    """ASGI layer: 413 for a body that is too large, 503 for one that makes all of them too large.

    Bytes count when they have arrived, so that a client cannot reserve memory by declaring a length. A
    declared length that is too large is refused at once.
    """

    def __init__(
        self, app: ASGIApp, max_bytes: int, max_total_bytes: int, held: Count | None = None
    ) -> None:
        """``max_bytes`` is for one body, ``max_total_bytes`` for all bodies in flight.

        ``held`` counts the bytes of all bodies in flight, of other API processes as well.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self.held = held or LocalCount()

    @property
    def held_bytes(self) -> int:
        """Bytes of all bodies in flight."""
        return self.held.total

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the bytes that arrive, until the request has ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        declared = int(length) if length.isdigit() else 0
        if refusal := self.check(0, declared):
            await self._refuse(send, refusal)
            return
        body = _Body(self, receive, send)
        try:
            await self._app(scope, body.receive, body.send)
        except ClientDisconnect:
            if body.refusal is None:
                raise
        finally:
            self.held.add(-body.received)
        if body.refusal and not body.response_started:
            await self._refuse(send, body.refusal)

    def check(self, received: int, more: int) -> Refusal | None:
        """Return why ``more`` bytes are refused for a body of which ``received`` have arrived; None if not."""
        if received + more > self._max_bytes:
            return Refusal.BODY_TOO_LARGE
        if self.held_bytes + more > self._max_total_bytes:
            return Refusal.OVERLOADED
        return None

    async def _refuse(self, send: Send, refusal: Refusal) -> None:
        if refusal is Refusal.OVERLOADED:
            await send_overloaded(send)
        else:
            message = f"The request's body has more than {self._max_bytes} bytes."
            await send_error(send, 413, message, refusal=refusal)


class _Body:
    """The body of one request. After a refusal, the application sees a disconnected client."""

    def __init__(self, limit: BodyLimit, receive: Receive, send: Send) -> None:
        self._limit = limit
        self._receive = receive
        self._send = send
        self.received = 0
        self.refusal: Refusal | None = None
        self.response_started = False

    async def receive(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        self.refusal = self.refusal or self._limit.check(self.received, size)
        if self.refusal:
            return {"type": "http.disconnect"}
        self.received += size
        self._limit.held.add(size)
        return message

    async def send(self, message: Message) -> None:
        # The application's answer to a disconnected client is not the answer to send.
        if not self.refusal:
            self.response_started = True
            await self._send(message)
