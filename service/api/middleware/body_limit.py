"""How much memory the bodies of all requests under way may take together.

A body is kept until its request is answered, streams included, and has arrived before there is a place for
it in the engine: the size of one body and the number of places do not bound their sum.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.middleware.admission import refuse_for_load


class BodyBudget:
    """ASGI layer: 503 for the body that would make all of them more than ``total`` bytes.

    What is declared is compared before the body is read, and what has come counts: nobody takes room by a
    promise.
    """

    def __init__(self, app: ASGIApp, total: int) -> None:
        self._app = app
        self._total = total
        self.held = 0
        """Bytes of the bodies that are under way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives for as long as the request takes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and self.held + int(length) > self._total:
            await refuse_for_load(send)
            return
        body = _Body(self, receive, send)
        try:
            await self._app(scope, body.receive, body.send)
            if body.refused:
                await refuse_for_load(send)
        finally:
            self.held -= body.received

    def take(self, size: int) -> bool:
        """Count ``size`` more bytes if there is room; says whether there was."""
        if self.held + size > self._total:
            return False
        self.held += size
        return True


class _Body:
    """One request's; to the application, a refused one looks as if its client had gone away."""

    def __init__(self, budget: BodyBudget, receive: Receive, send: Send) -> None:
        self._budget = budget
        self._receive = receive
        self._send = send
        self.received = 0
        self.refused = False

    async def receive(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        if self.refused or not self._budget.take(size):
            self.refused = True
            return {"type": "http.disconnect"}
        self.received += size
        return message

    async def send(self, message: Message) -> None:
        # What the application says to a client that it takes to be gone is not the answer.
        if not self.refused:
            await self._send(message)
