"""Trace spans of our own, beside the one of the HTTP request and vLLM's.

Without ``--otlp-traces-endpoint`` no exporter is set up: spans then cost nothing and are not
recorded.
"""

from contextlib import AbstractContextManager

from opentelemetry import trace
from opentelemetry.trace import Span

TRACER = "minigpt4-service"
"""Name of the tracer in the exported spans."""


def span(name: str) -> AbstractContextManager[Span]:
    """Open a span below the current one for a ``with`` block; an exception marks it as failed."""
    return trace.get_tracer(TRACER).start_as_current_span(name)
