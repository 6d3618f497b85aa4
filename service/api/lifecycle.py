"""The process's state towards the outside: starting, ready, draining, failed.

The gate stands in front of the application. It answers before there is one, refuses new work while
the service drains, and counts the requests that a drain must wait for.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from prometheus_client import Enum, make_asgi_app
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.error_responses import error_body
from service.api.middleware.waiting_page import is_from_browser, send_waiting_page

PROBES = frozenset({"/health", "/ready", "/metrics", "/version"})
RETRY_AFTER = 5
"""Seconds a client should wait when the service is starting or draining."""


class State(StrEnum):
    """Where in its life the service is."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


STATE = Enum("minigpt4_state", "Where in its life the service is", states=[*State])


class Lifecycle:
    """State and the number of requests under way; lives on the event loop."""

    def __init__(self) -> None:
        self.state = State.STARTING
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def state(self) -> State:
        """Also a metric."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        STATE.state(state)

    def enter(self) -> None:
        """A request begins."""
        self.in_flight += 1
        self._idle.clear()

    def leave(self) -> None:
        """A request has ended, its stream included."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._idle.set()

    async def drain(self, grace: float) -> int:
        """Refuse new requests and wait up to ``grace`` seconds; returns how many are still running."""
        self.state = State.DRAINING
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace)
        return self.in_flight


class Gate:
    """ASGI front of the service; see the module's text.

    ``healthy`` says whether engine and encoder can serve, asked at each probe.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._app: ASGIApp | None = None
        # A service that starts is one that can be measured, not one that is down.
        self._metrics = make_asgi_app()
        self._healthy: Callable[[], bool] = lambda: False

    def open(self, app: ASGIApp, healthy: Callable[[], bool]) -> None:
        """The application can serve from now on."""
        self._app, self._healthy = app, healthy
        self._lifecycle.state = State.READY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass on."""
        send = self._ending_connections(send)
        if scope["type"] == "lifespan":
            await _acknowledge_lifespan(receive, send)
        elif scope["type"] != "http":
            await _close(send)
        elif scope["path"] == "/ready":
            await self._ready(send)
        elif self._app is None and scope["path"] == "/metrics":
            await self._metrics(scope, receive, send)
        elif self._app is None:
            await self._unavailable(scope, send)
        elif scope["path"] == "/health" and not self._healthy():
            await self._unavailable(scope, send)  # vLLM's own asks the engine alone
        elif scope["path"] in PROBES:
            await self._app(scope, receive, send)
        elif self._lifecycle.state is not State.READY:
            await self._unavailable(scope, send)
        else:
            await self._pass(self._app, scope, receive, send)

    async def _pass(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._lifecycle.enter()
        try:
            await app(scope, receive, send)
        finally:
            self._lifecycle.leave()

    def _ending_connections(self, send: Send) -> Send:
        """Who is answered by a service that ends shall ask another one next, through another connection."""

        async def ending(message: Message) -> None:
            begins = message["type"] == "http.response.start"
            if begins and self._lifecycle.state in (State.DRAINING, State.FAILED):
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        return ending

    def _state(self) -> State:
        state = self._lifecycle.state
        return State.FAILED if state is State.READY and not self._healthy() else state

    async def _ready(self, send: Send) -> None:
        state = self._state()
        status = 200 if state is State.READY else 503
        await respond(send, status, json.dumps({"status": state}).encode())

    async def _unavailable(self, scope: Scope, send: Send) -> None:
        state = self._state()
        scope.setdefault("state", {})["rejected"] = state.value
        if is_from_browser(scope):
            await send_waiting_page(send, state, RETRY_AFTER)
            return
        body = error_body(f"The service is {state}.", "ServiceUnavailableError", 503)
        await respond(send, 503, body, retry_after=RETRY_AFTER)


async def respond(send: Send, status: int, body: bytes, retry_after: int | None = None) -> None:
    """A whole JSON response."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % retry_after))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _acknowledge_lifespan(receive: Receive, send: Send) -> None:
    message: Message = {"type": ""}
    while message["type"] != "lifespan.shutdown":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


async def _close(send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})
