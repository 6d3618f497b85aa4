"""Answers instead of the application while the service starts, drains or has failed."""

import json

from prometheus_client import make_asgi_app
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.backend import Backend
from service.api.error_responses import Refusal, send_error, send_json
from service.api.lifecycle import Lifecycle, State
from service.api.middleware.waiting_page import is_from_browser, send_waiting_page
from service.request_context import current_request

PROBES = frozenset({"/health", "/ready", "/metrics", "/version"})
"""Paths that are answered in every state. They appear neither in the access log nor in the metrics
of requests."""

RETRY_AFTER = 5
"""Seconds a client should wait while the service starts or drains."""


class Gate:
    """ASGI layer: probes, refusals by state, and the count of requests that a drain waits for."""

    def __init__(self, app: ASGIApp, backend: Backend, lifecycle: Lifecycle) -> None:
        self._app = app
        self._backend = backend
        self._lifecycle = lifecycle
        # Monitoring must be able to scrape a service that starts.
        self._metrics = make_asgi_app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass on."""
        send = self._close_connections_at_the_end(send)
        if scope["type"] == "lifespan":
            await _acknowledge_lifespan(receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == "/ready":
            await self._send_readiness(send)
        elif scope["path"] == "/metrics" and not self._backend.is_loaded:
            await self._metrics(scope, receive, send)
        elif not self._backend.is_loaded:
            await self._refuse(scope, send)
        elif scope["path"] == "/health" and not self._backend.is_healthy:
            await self._refuse(scope, send)  # vLLM's own route asks the engine alone
        elif scope["path"] in PROBES:
            await self._app(scope, receive, send)
        elif self._lifecycle.state is not State.READY:
            await self._refuse(scope, send)
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._lifecycle.enter()
        try:
            await self._app(scope, receive, send)
        finally:
            self._lifecycle.leave()

    def _close_connections_at_the_end(self, send: Send) -> Send:
        """While draining, close the connection after each response.

        The client's next request then goes to another replica.
        """

        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._lifecycle.ending:
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        return send_closing

    def _state(self) -> State:
        state = self._lifecycle.state
        return State.FAILED if state is State.READY and not self._backend.is_healthy else state

    async def _send_readiness(self, send: Send) -> None:
        state = self._state()
        status = 200 if state is State.READY else 503
        await send_json(send, status, json.dumps({"status": state}).encode())

    async def _refuse(self, scope: Scope, send: Send) -> None:
        state = self._state()
        refusal = Refusal(state.value)
        if is_from_browser(scope):
            current_request().refusal = refusal
            await send_waiting_page(send, state, RETRY_AFTER)
            return
        message = f"The service is {state}."
        await send_error(send, 503, message, refusal=refusal, retry_after=RETRY_AFTER)


async def _acknowledge_lifespan(receive: Receive, send: Send) -> None:
    message: Message = {"type": ""}
    while message["type"] != "lifespan.shutdown":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
