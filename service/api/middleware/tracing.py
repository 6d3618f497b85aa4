"""The OpenTelemetry span of an HTTP request, between the caller's span and vLLM's.

vLLM sets up the exporter when ``--otlp-traces-endpoint`` is given. The engine's span, from the
queue to the last token, is a child of the request's ``traceparent``.
"""

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observability.tracing import TRACER
from service.request_context import current_request

CONTEXT_HEADERS = (b"traceparent", b"tracestate")


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
        tracer = trace.get_tracer(TRACER)
        with tracer.start_as_current_span(
            f"{scope['method']} request", propagate.extract(headers), SpanKind.SERVER
        ) as span:
            _hand_on(scope, span)
            await self._app(scope, receive, _record_status(span, send))
            route = getattr(scope.get("route"), "path", None)
            if route:
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)


def _hand_on(scope: Scope, span: Span) -> None:
    """Make ``span`` the parent of vLLM's span, and store its trace id for the access line."""
    context = span.get_span_context()
    if context.is_valid:
        current_request().trace_id = f"{context.trace_id:032x}"
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    if carrier:
        others = [(name, value) for name, value in scope["headers"] if name not in CONTEXT_HEADERS]
        ours = [(name.encode(), value.encode()) for name, value in carrier.items()]
        scope["headers"] = [*others, *ours]


def _record_status(span: Span, send: Send) -> Send:
    async def send_recorded(message: Message) -> None:
        if message["type"] == "http.response.start":
            span.set_attribute("http.response.status_code", message["status"])
            if message["status"] >= 500:
                span.set_status(StatusCode.ERROR)
        await send(message)

    return send_recorded
