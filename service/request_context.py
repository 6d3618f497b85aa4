"""The context of the current request: one object from the first layer to the engine.

The outermost ASGI layer creates it, inner layers fill it in, and the engine reads it. It travels in
a context variable, because vLLM's routers stand between our layers and the engine and pass on
nothing of ours.
"""

from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Protocol

from service.usage.amounts import NO_LIMITS, KeyLimits

ImageSize = tuple[int, int]
"""Width and height in pixels."""


class Slot(Protocol):
    """A reservation in the engine's queue (:class:`service.engine.admission.Reservation`)."""

    @property
    def sequences(self) -> int:
        """Sequences that are still reserved; 0 once the reservation is released."""

    def release(self) -> None:
        """Give the sequences back. Idempotent."""


@dataclass
class RequestContext:
    """One request on its way through the service.

    Attributes:
        request_id: Id in the response's header, in the access line and in vLLM's log.
        tenant: Name of the request's API key; empty where no keys are configured.
        limits: Limits of the request's API key.
        trace_id: Id of the OpenTelemetry trace, in hex; empty where tracing is off.
        refusal: Why the request was refused (:class:`service.api.error_responses.Refusal`), if it
            was.
        continues_text: Whether the answer continues a text of the client's, so that a space before
            it counts.
        batch: Id of the batch whose line this request is; empty for a client's own request.
        slot: The slot that admission reserved when the body had arrived. The engine client
            exchanges it for as many sequences as the request asks for.
        image_sizes: Of the request's images, in their order; an item is None while the size is
            unknown, and for embeddings. None where no layer asks for the sizes.
        beam_stop: The client's own stop strings, which vLLM does not hand on to a beam search.
        orientation: ``stored`` or ``exif`` where the request names the orientation of its images.
        model: The model that answers, where projections are served by name.
        projection: Its projection (:class:`service.vision.named_projections.Projection`); None for the
            base model's.
    """

    request_id: str = ""
    tenant: str = ""
    limits: KeyLimits = NO_LIMITS
    trace_id: str = ""
    refusal: str | None = None
    continues_text: bool = False
    batch: str = ""
    slot: Slot | None = None
    image_sizes: list[ImageSize | None] | None = None
    beam_stop: tuple[str, ...] = ()
    orientation: str | None = None
    model: str = ""
    projection: object | None = None

    @property
    def is_background(self) -> bool:
        """Whether no client waits for the answer, so that interactive requests go first."""
        return bool(self.batch)


_current: ContextVar[RequestContext] = ContextVar("request_context")


def current_request() -> RequestContext:
    """The context of the request that runs this code; an empty one outside of a request."""
    try:
        return _current.get()
    except LookupError:
        return RequestContext()


def enter_request(context: RequestContext) -> Token[RequestContext]:
    """Make ``context`` the current one for this task and the tasks it starts."""
    return _current.set(context)


def leave_request(token: Token[RequestContext]) -> None:
    """Undo :func:`enter_request`."""
    _current.reset(token)
