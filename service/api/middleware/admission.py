"""Refusing what there is no room for before anything is spent on it.

Reading, decoding and encoding for requests that are refused afterwards takes the time of those that were
let in, and makes the refusal slow.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.error_responses import error_body
from service.api.lifecycle import respond
from service.api.middleware.read_ahead import read_ahead

GENERATING = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")
MESSAGE = "The service is busy and cannot take another request now; try again later."


class Overload:
    """ASGI layer: 503 for a request to generate when there is no room, before it is parsed.

    Args:
        full: Whether there is no room; asked when a request's head is there, before its body is read.
        place: Keeps room for one request, and gives whether there was any; entered once the body is
            there, so that nobody keeps a place by sending slowly.
    """

    def __init__(
        self,
        app: ASGIApp,
        full: Callable[[], bool],
        place: Callable[[], AbstractContextManager[bool]],
    ) -> None:
        self._app = app
        self._full = full
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at POSTs to routes that generate, below whatever prefix."""
        generates = scope["type"] == "http" and scope["method"] == "POST"
        if not generates or not scope["path"].endswith(GENERATING):
            await self._app(scope, receive, send)
            return
        if self._full():
            await refuse_for_load(send)
            return
        if (arrived := await read_ahead(receive)) is None:
            return
        again = arrived[1]
        del arrived  # or the body would be kept as long as the answer takes
        with self._place() as kept:
            if kept:
                await self._app(scope, again, send)
            else:
                await refuse_for_load(send)


async def refuse_for_load(send: Send) -> None:
    """503 in OpenAI's shape; the layer around adds when to come back."""
    await respond(send, 503, error_body(MESSAGE, "ServiceUnavailableError", 503))
