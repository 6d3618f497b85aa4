"""Writes an access line and counts metrics for each request, including refused requests.

vLLM's metrics count tokens and engine requests; these count served and refused requests.
"""

import logging
import re
import uuid
from time import monotonic

from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.error_responses import REFUSAL_OF_STATUS, Refusal
from service.api.middleware.gate import PROBES
from service.observability.logs import ACCESS
from service.request_context import RequestContext, enter_request, leave_request
from service.usage.amounts import Usage
from service.usage.recording import record, shared_ledger

REQUESTS = Counter(
    "minigpt4_requests",
    "Requests answered, by route, status and API key",
    ["route", "status", "key"],
)
REJECTED = Counter(
    "minigpt4_requests_rejected", "Requests refused before any work, by reason", ["reason"]
)
MODEL_REQUESTS = Counter(
    "minigpt4_model_requests",
    "Requests answered by a model, by its name and status, where projections are served by name",
    ["model", "status"],
)
IN_FLIGHT = Gauge(
    "minigpt4_requests_in_flight",
    "Requests being served, streams included",
    multiprocess_mode="livesum",
)
SECONDS = Histogram(
    "minigpt4_request_seconds",
    "From a request's first byte to its answer's last",
    ["route"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
for _reason in Refusal:
    REJECTED.labels(_reason.value)  # a rate can only be computed from a series that starts at 0

REQUEST_ID = "x-request-id"
SAFE_ID = re.compile(r"[\w.:+/=-]{1,128}")
"""Form of a request id that is accepted from a client. Other ids could forge log lines."""

CLIENT_CLOSED = 499
"""Status in logs and metrics if the client disconnected before the end of the response, or if the client's own
deadline has passed. The number is nginx's."""

PAGE_FILES = ("/page/", "/docs/")
"""Beginnings of the paths of files that a browser loads for a page. Their access lines would hide the others."""

LINE = "minigpt4.line"
"""Extension in the scope of a batch's line: its context. Only this process can set it."""

access = logging.getLogger(ACCESS)


class RequestObserver:
    """Outermost ASGI layer: creates the request's context and reports the request when it has ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Observe HTTP requests other than probes."""
        context = scope.get("extensions", {}).get(LINE) or RequestContext()
        token = enter_request(context)
        try:
            if scope["type"] != "http" or scope["path"] in PROBES:
                await self._app(scope, receive, send)
            else:
                await self._observe(context, scope, receive, send)
        finally:
            leave_request(token)

    async def _observe(
        self, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        exchange = _Exchange(context, scope)
        counted = not context.is_background  # the lines of batches have metrics of their own
        if counted:
            IN_FLIGHT.inc()
        try:
            await self._app(scope, exchange.watch_receive(receive), exchange.watch_send(send))
        finally:
            if counted:
                IN_FLIGHT.dec()
            exchange.report()


class _Exchange:
    """One request and its response. Bodies count in the size in which they are sent, compressed or not."""

    def __init__(self, context: RequestContext, scope: Scope) -> None:
        self._context = context
        self._scope = scope
        self._begin = monotonic()
        self._status = CLIENT_CLOSED
        self._complete = False
        self._disconnected = False
        self._first_byte: float | None = None
        self._received = self._sent = 0
        given = Headers(scope=scope).get(REQUEST_ID, "")
        context.request_id = given if SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        # vLLM reads the id from the header as well.
        headers = [(name, value) for name, value in scope["headers"] if name != REQUEST_ID.encode()]
        scope["headers"] = [*headers, (REQUEST_ID.encode(), context.request_id.encode())]

    def watch_receive(self, receive: Receive) -> Receive:
        """``receive``, noting whether the client disconnects before the response is complete."""

        async def watched() -> Message:
            message = await receive()
            self._received += len(message.get("body", b""))
            if message["type"] == "http.disconnect" and not self._complete:
                self._disconnected = True
            return message

        return watched

    def watch_send(self, send: Send) -> Send:
        """``send``, noting the status, the time of the first byte and whether the response is complete."""

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = self._context.request_id
            await send(message)
            if message["type"] == "http.response.start":
                self._status = message["status"]
            elif message["type"] == "http.response.body":
                self._sent += len(message.get("body", b""))
                if self._first_byte is None and message.get("body"):
                    self._first_byte = monotonic() - self._begin
                self._complete = not message.get("more_body", False)

        return watched

    def report(self) -> None:
        """Count the request and write its access line."""
        context, refusal = self._context, self._context.refusal
        served = self._complete and not self._disconnected and refusal != Refusal.CLIENT_DEADLINE
        status = self._status if served else CLIENT_CLOSED
        seconds = monotonic() - self._begin
        record(
            context.tenant,
            Usage(requests=1, bytes_received=self._received, bytes_sent=self._sent),
        )
        if not context.is_background:
            self._count(status, seconds)
        if status < 400 and self._is_of_page():
            return
        access.info(
            f"{self._scope['method']} {self._scope['path'][:200]!a} {status}",
            extra={
                "fields": {
                    "seconds": round(seconds, 4),
                    "first_byte": self._first_byte and round(self._first_byte, 4),
                    "key": context.tenant,
                    "model": context.model or None,
                    "rejected": refusal and str(refusal),
                    "batch": context.batch or None,
                    "request_id": context.request_id,
                    "trace_id": context.trace_id or None,
                }
            },
        )

    def _is_of_page(self) -> bool:
        """Whether the request is for the page or one of its files: a browser asks for forty of them."""
        path = self._scope["path"]
        return path == "/" or path.startswith(PAGE_FILES)

    def _count(self, status: int, seconds: float) -> None:
        route = getattr(self._scope.get("route"), "path", "other")
        label = shared_ledger().label(self._context.tenant)
        REQUESTS.labels(route, str(status), label).inc()
        if self._context.model:
            MODEL_REQUESTS.labels(self._context.model, str(status)).inc()
        SECONDS.labels(route).observe(seconds)
        if reason := self._context.refusal or REFUSAL_OF_STATUS.get(status):
            REJECTED.labels(reason).inc()
