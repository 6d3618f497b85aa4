"""Refuses a request because of overload before the service spends time on it.

To read, decode and encode the images of a request that is refused later would take time from the
admitted requests, and the refusal would come late.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.backend import Backend
from service.api.error_responses import send_overloaded
from service.api.middleware.read_ahead import read_ahead

GENERATING = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")


class Admission:
    """ASGI layer: 503 for a request to generate when the engine has no slot for it.

    The layer asks the engine when the request's head has arrived. It reserves the slot when the
    body has arrived, so that a slow client does not hold a slot.
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
        del arrived  # otherwise the body would stay in memory until the response has ended
        with self._backend.loaded.reserve_slot() as reserved:
            if reserved:
                await self._app(scope, replay, send)
            else:
                await send_overloaded(send)
