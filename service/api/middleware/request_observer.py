"""One access line and one set of counters for each request, refused ones included.

vLLM's series tell about tokens and the engine; these tell who was served and who was not.
"""

import logging
import re
import uuid
from time import monotonic
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.lifecycle import PROBES
from service.api.middleware.deadline import GAVE_UP
from service.observability.logs import ACCESS

REQUESTS = Counter(
    "minigpt4_requests",
    "Requests answered, by route, status and API key",
    ["route", "status", "key"],
)
REJECTED = Counter(
    "minigpt4_requests_rejected", "Requests refused before any work, by reason", ["reason"]
)
IN_FLIGHT = Gauge("minigpt4_requests_in_flight", "Requests being served, streams included")
SECONDS = Histogram(
    "minigpt4_request_seconds",
    "From a request's first byte to its answer's last",
    ["route"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)

REQUEST_ID = "x-request-id"
SAFE_ID = re.compile(r"[\w.:+/=-]{1,128}")
"""What a client's request id may be, so that it cannot forge log lines."""

LOST = 499
"""Status in log and metrics of a request whose client went away first (nginx's number), or would not wait as
long as the service, whatever it was still told."""

REASONS = {401: "unauthorized", 413: "body_too_large", 503: "overloaded"}
"""Why a status is a refusal, where nobody said it better (``state["rejected"]``)."""

for reason in (
    *REASONS.values(),
    *("starting", "draining", "failed", "deadline", GAVE_UP, "file_quota"),
):
    # A rate needs to have seen the zero.
    REJECTED.labels(reason)

access = logging.getLogger(ACCESS)


class RequestObserver:
    """Outermost ASGI layer; gives every request an id, which the answer carries back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Observe HTTP requests other than probes."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        seen = _Exchange(scope)
        IN_FLIGHT.inc()
        try:
            await self._app(scope, seen.listen(receive), seen.watch(send))
        finally:
            IN_FLIGHT.dec()
            seen.report()


class _Exchange:
    """What is known of one request and its answer."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._state: dict[str, Any] = scope.setdefault("state", {})
        self._begin = monotonic()
        self._status = LOST
        self._complete = False
        self._left = False
        self._first_byte: float | None = None
        given = Headers(scope=scope).get(REQUEST_ID, "")
        self.id = given if SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        # vLLM takes the id from the header, too.
        headers = [(name, value) for name, value in scope["headers"] if name != REQUEST_ID.encode()]
        scope["headers"] = [*headers, (REQUEST_ID.encode(), self.id.encode())]

    def listen(self, receive: Receive) -> Receive:
        """``receive``, noting whether the client went away before the end."""

        async def listened() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not self._complete:
                self._left = True
            return message

        return listened

    def watch(self, send: Send) -> Send:
        """``send``, noting the status, the first byte and whether the end was reached."""

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = self.id
            await send(message)
            if message["type"] == "http.response.start":
                self._status = message["status"]
            elif message["type"] == "http.response.body":
                if self._first_byte is None and message.get("body"):
                    self._first_byte = monotonic() - self._begin
                self._complete = not message.get("more_body", False)

        return watched

    def report(self) -> None:
        """Count, and write the access line."""
        rejected = self._state.get("rejected")
        served = self._complete and not self._left and rejected != GAVE_UP
        status = self._status if served else LOST
        seconds = monotonic() - self._begin
        route = getattr(self._scope.get("route"), "path", "other")
        key = self._state.get("tenant", "")
        REQUESTS.labels(route, str(status), key).inc()
        SECONDS.labels(route).observe(seconds)
        if reason := rejected or REASONS.get(status):
            REJECTED.labels(reason).inc()
        access.info(
            f"{self._scope['method']} {self._scope['path'][:200]!a} {status}",
            extra={
                "fields": {
                    "seconds": round(seconds, 4),
                    "first_byte": self._first_byte and round(self._first_byte, 4),
                    "key": key,
                    "rejected": rejected,
                    "request_id": self.id,
                    "trace_id": self._state.get("trace_id"),
                }
            },
        )
