"""The middleware stack: every layer that a request passes before vLLM's routers, outermost first.

The whole stack exists from the first second on. Until the engine and the encoder are loaded, the gate answers
in their place. Inside the application, vLLM adds layers of its own (``--middleware`` among them).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from service.api.api_keys import KeySource
from service.api.backend import Backend
from service.api.lifecycle import Lifecycle
from service.api.middleware.admission import Admission
from service.api.middleware.body_limit import BodyLimit
from service.api.middleware.boxes import Boxes
from service.api.middleware.deadline import Deadline
from service.api.middleware.decompress import Decompress
from service.api.middleware.event_stream import EventStream
from service.api.middleware.gate import Gate
from service.api.middleware.head_requests import HeadRequests
from service.api.middleware.line_key import LineKey
from service.api.middleware.rate_limit import RateLimit
from service.api.middleware.request_observer import RequestObserver
from service.api.middleware.require_key import RequireKey
from service.api.middleware.retry_after import RetryAfter
from service.api.middleware.strict_json import StrictJson
from service.api.middleware.tracing import Tracing
from service.settings import Settings
from service.shared_count import Count

LINE_SECONDS = 3600.0
"""Seconds that a batch's line may take, unless `request_max_seconds` is longer."""


@dataclass(frozen=True)
class StackOptions:
    """What vLLM's flags say about the stack.

    Attributes:
        cors: Keyword arguments of Starlette's CORS middleware; None without ``--allowed-origins``.
        traces: Whether traces are exported (``--otlp-traces-endpoint``).
        keys: Where API keys are looked up; empty where no key is needed.
        keep_alive_seconds: Longest silence in an event stream (``--sse-keep-alive-interval``); 0 for no limit.
        boxes: Whether the served family's answers can hold boxes.
        held_bytes: Counts the bytes of all bodies in flight; None where there is one API process.
    """

    cors: dict[str, Any] | None = None
    traces: bool = False
    keys: Sequence[KeySource] = ()
    keep_alive_seconds: float = 0
    boxes: bool = False
    held_bytes: Count | None = None


def layers(
    backend: Backend, lifecycle: Lifecycle, settings: Settings, options: StackOptions
) -> list[Middleware]:
    """The layers in the order in which a request passes them."""
    return [
        # Gives the request an id, writes its access line, counts it: sees every refusal further in.
        Middleware(RequestObserver),
        # Lets pages of allowed origins read responses, the refusals among them.
        *([Middleware(CORSMiddleware, **options.cors)] if options.cors else []),
        # Opens the server's trace span, as a child of the caller's.
        *([Middleware(Tracing)] if options.traces else []),
        # Answers HEAD as GET without the body.
        Middleware(HeadRequests),
        # Answers probes; refuses requests while the service starts, drains or has failed.
        Middleware(Gate, backend, lifecycle),
        # Names the request's tenant by its API key, or answers 401, before its body is read.
        *([Middleware(RequireKey, options.keys)] if options.keys else []),
        # Answers 429 beyond the limits of the request's API key, before its body is read.
        *([Middleware(RateLimit)] if options.keys else []),
        # Ends a request that takes too long, its stream included; a stop cuts requests here.
        Middleware(Deadline, lifecycle, settings.request_max_seconds),
        # Keeps proxies from buffering an event stream, and from closing it while it is silent.
        Middleware(EventStream, options.keep_alive_seconds),
        # Adds Retry-After to refusals for load, those of the layers below and vLLM's.
        Middleware(RetryAfter, backend),
        # Unpacks a gzip body, so that the layers below see and count plain bytes.
        Middleware(Decompress),
        # Bounds the size of one body (413) and of all bodies in flight (503) while they arrive.
        Middleware(
            BodyLimit, settings.request_max_bytes, settings.bodies_max_bytes, options.held_bytes
        ),
        # Reserves a slot in the engine's queue, or answers 503, before a body is parsed.
        Middleware(Admission, backend),
        # Refuses JSON that readers understand differently, before the first of them reads it.
        Middleware(StrictJson),
        # Adds the boxes of an answer in pixels, where the family's answers can hold boxes.
        *([Middleware(Boxes)] if options.boxes else []),
    ]


def line_layers(
    backend: Backend, lifecycle: Lifecycle, settings: Settings, options: StackOptions
) -> list[Middleware]:
    """The layers that the request of a batch's line passes, in this order.

    It comes from this process, with the name of the key that created the batch. Its number and size were bounded
    when the batch was created, so it takes no slot of the engine's queue and no room among the bodies in flight.
    """
    return [
        Middleware(RequestObserver),
        *([Middleware(Tracing)] if options.traces else []),
        # Refuses lines while the service drains; a drain waits for those that run.
        Middleware(Gate, backend, lifecycle),
        # Gives the line the rights of its batch's key; makes it wait where the key's tokens run out.
        *([Middleware(LineKey, options.keys)] if options.keys else []),
        # A line may wait for interactive requests for long; a stop cuts it here.
        Middleware(Deadline, lifecycle, max(settings.request_max_seconds, LINE_SECONDS)),
        Middleware(StrictJson),
        *([Middleware(Boxes)] if options.boxes else []),
    ]


def build_stack(
    backend: Backend, lifecycle: Lifecycle, settings: Settings, options: StackOptions
) -> ASGIApp:
    """``backend`` with all layers around it."""
    return _wrap(backend, layers(backend, lifecycle, settings, options))


def build_line_stack(
    backend: Backend, lifecycle: Lifecycle, settings: Settings, options: StackOptions
) -> ASGIApp:
    """``backend`` with the layers for lines of batches around it."""
    return _wrap(backend, line_layers(backend, lifecycle, settings, options))


def _wrap(app: ASGIApp, stack: Sequence[Middleware]) -> ASGIApp:
    for cls, args, kwargs in reversed(stack):
        app = cls(app, *args, **kwargs)
    return app
