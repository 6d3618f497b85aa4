"""Sends the lines of batches to the application as requests of the batch's key.

A line passes :func:`service.api.stack.line_layers`: the routes, their validation and their errors
are those of requests over HTTP.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from json import dumps

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.error_responses import error_body
from service.api.lifecycle import Lifecycle, State
from service.api.middleware.request_observer import LINE, REQUEST_ID
from service.batches.input_lines import InputLine
from service.batches.limits import BatchLimits
from service.batches.record import StoredBatch
from service.batches.result import LineResponse
from service.batches.runner import BatchRunner
from service.batches.slots import LineSlots
from service.batches.store import BatchStore
from service.request_context import RequestContext

LATER = frozenset({429, 503})
"""Statuses of a service that cannot take the request now. The line is sent again later."""

RETRY_SECONDS = 5.0
"""Seconds until then, if the response does not name them."""

NOT_IN_BATCHES = ("stream", "background")
"""Parameters that need a connected client."""


class LineSender:
    """Sends lines to an ASGI application."""

    def __init__(self, app: ASGIApp, is_healthy: Callable[[], bool]) -> None:
        """Store the application for the lines.

        Args:
            app: The application with the layers for lines around it.
            is_healthy: Whether the engine and the encoder can serve.
        """
        self._app = app
        self._is_healthy = is_healthy

    async def send(self, stored: StoredBatch, line: InputLine) -> LineResponse:
        """Send one line's request and read the whole response."""
        for name in NOT_IN_BATCHES:
            if line.body.get(name):
                body = error_body(400, f"`{name}` is not possible in a batch.", name)
                return LineResponse(400, "", body)
        context = RequestContext(tenant=stored.owner, batch=stored.batch.id)
        transport = httpx.ASGITransport(self._enter(context), raise_app_exceptions=False)
        request = httpx.Request(
            "POST",
            f"http://batch{stored.batch.endpoint}",
            # Escapes keep a lone surrogate, which the service then refuses as it does over HTTP.
            content=dumps(line.body),
            headers={"content-type": "application/json"},
        )
        response = await transport.handle_async_request(request)
        await response.aread()
        return self._read(response, refused=context.refusal is not None)

    def _enter(self, context: RequestContext) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {LINE: context}
            await self._app(scope, receive, send)

        return app

    def _read(self, response: httpx.Response, *, refused: bool) -> LineResponse:
        status, content = response.status_code, response.content
        request_id = response.headers.get(REQUEST_ID, "")
        failing = status >= 500 and not self._is_healthy()
        if status not in LATER and not failing:
            return LineResponse(status, request_id, content)
        given = response.headers.get("retry-after", "")
        seconds = float(given) if given.isdigit() else RETRY_SECONDS
        interrupted = failing and not refused  # a refused line did not run and is not the cause
        return LineResponse(status, request_id, content, max(1.0, seconds), interrupted)


@asynccontextmanager
async def run_batches(
    store: BatchStore,
    sender: LineSender,
    lifecycle: Lifecycle,
    is_busy: Callable[[], bool],
    limits: BatchLimits,
) -> AsyncIterator[None]:
    """Run the store's batches while the block runs, if no other process does.

    Args:
        is_busy: Whether the engine serves interactive requests.
    """
    slots = LineSlots(limits, is_busy, may_start=lambda: lifecycle.state is State.READY)
    async with BatchRunner(store, slots, sender.send).running():
        yield
