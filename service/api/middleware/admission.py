"""Refuses a request for load before anything is spent on it.

Reading, decoding and encoding for a request that is refused afterwards takes time from the requests that
were admitted, and makes the refusal slow.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.backend import Backend
from service.api.error_responses import send_overloaded
from service.api.middleware.read_ahead import read_ahead

GENERATING = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")


class Admission:
    """ASGI layer: 503 for a request to generate when the engine has no slot for it.

    The engine is asked when the request's head has arrived. The slot is reserved when the body has arrived, so
    that no client holds one by sending slowly.
    """

    def __init__(self, app: ASGIApp, backend: Backend) -> None:
        self._app = app
        self._backend = backend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at POST requests to routes that generate, below any prefix."""
        generates = scope["type"] == "http" and scope["method"] == "POST"
        if not generates or not scope["path"].endswith(GENERATING):
            await self._app(scope, receive, send)
            return
        if self._backend.loaded.is_full():
            await send_overloaded(send)
            return
        if (arrived := await read_ahead(receive)) is None:
            return
        replay = arrived[1]
        del arrived  # otherwise the body would be kept until the response has ended
        with self._backend.loaded.reserve_slot() as reserved:
            if reserved:
                await self._app(scope, replay, send)
            else:
                await send_overloaded(send)
