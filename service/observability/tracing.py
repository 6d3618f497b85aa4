"""OpenTelemetry spans around vLLM's: the HTTP request, and each image's fetch and encoding.

vLLM sets up the exporter when ``--otlp-traces-endpoint`` is given and writes the engine's span, from
the queue to the last token, below whatever ``traceparent`` the request carries. Without that flag all
of this costs nothing and records nothing.
"""

from contextlib import AbstractContextManager

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTEXT_HEADERS = (b"traceparent", b"tracestate")


def span(name: str) -> AbstractContextManager[Span]:
    """A span below the current one, for a ``with`` block; an exception marks it as failed."""
    return trace.get_tracer("minigpt4-service").start_as_current_span(name)


class Tracing:
    """ASGI layer: a server span that continues the caller's trace and that vLLM continues."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Trace HTTP requests."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in CONTEXT_HEADERS
        }
        tracer = trace.get_tracer("minigpt4-service")
        with tracer.start_as_current_span(
            f"{scope['method']} request", propagate.extract(headers), SpanKind.SERVER
        ) as current:
            _pass_on(scope, current)
            await self._app(scope, receive, _noting_status(current, send))
            route = getattr(scope.get("route"), "path", None)
            if route:
                current.update_name(f"{scope['method']} {route}")
                current.set_attribute("http.route", route)


def _pass_on(scope: Scope, current: Span) -> None:
    """Make ``current`` the parent of what vLLM writes, and name its trace in the access line."""
    context = current.get_span_context()
    if context.is_valid:
        scope.setdefault("state", {})["trace_id"] = f"{context.trace_id:032x}"
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    if carrier:
        kept = [(name, value) for name, value in scope["headers"] if name not in CONTEXT_HEADERS]
        ours = [(name.encode(), value.encode()) for name, value in carrier.items()]
        scope["headers"] = [*kept, *ours]


def _noting_status(current: Span, send: Send) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            current.set_attribute("http.response.status_code", message["status"])
            if message["status"] >= 500:
                current.set_status(StatusCode.ERROR)
        await send(message)

    return noting
