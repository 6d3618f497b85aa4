"""Adapts request bodies to vLLM's routes, also those written for other services."""

from typing import Any

from service.api.tool_choice import prepare_tools
from service.boxes import write_pattern
from service.errors import RequestError
from service.plugin.content_parts import rewrite_anthropic_message, rewrite_message
from service.plugin.media_connector import read_orientation
from service.request_context import current_request
from service.vision.named_projections import Projections

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
SERVED_PARTS = frozenset({"text", "image_url", "refusal", "thinking"})
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


class BodyAdapter:
    """The functions that :func:`service.vllm_patches.body_validation.wrap_validation` calls."""

    def __init__(
        self,
        max_model_len: int,
        embeddings_allowed: bool,
        model_chooses: bool,
        cap_limits: bool,
        boxes: bool = False,
        projections: Projections | None = None,
    ) -> None:
        """Store what the checks need to know about the engine.

        Args:
            max_model_len: Tokens of the context.
            embeddings_allowed: Whether content parts may hold embeddings.
            model_chooses: Whether the model decides by itself to call a tool.
            cap_limits: Whether a limit beyond the context is lowered to it; otherwise vLLM refuses
                it.
            boxes: Whether the family's answers can hold boxes.
            projections: The projections that are served by name, if any.
        """
        self._max_model_len = max_model_len
        self._embeddings_allowed = embeddings_allowed
        self._model_chooses = model_chooses
        self._cap_limits = cap_limits
        self._boxes = boxes
        self._projections = projections

    def prepare(self, path: str, body: Any) -> Any:
        """Rewrite the parsed JSON; raises :class:`RequestError` for what is not served."""
        if not isinstance(body, dict):
            return body
        if path in (CHAT, RESPONSES, MESSAGES):
            body = prepare_tools(body, self._model_chooses)
        self._choose_projection(body)
        body = _take_orientation(body)
        if path == CHAT:
            return self._bound_boxes(_rewrite_messages(body, self._rewrite_chat_message))
        if path in (MESSAGES, COUNT_TOKENS):
            return _rewrite_messages(body, rewrite_anthropic_message)
        return body

    def finish(self, request: Any) -> None:
        """Lower a limit on the answer's length to the context: vLLM then generates what fits.

        Tells the engine client whether the answer continues the last message, and where beams end.
        """
        current_request().continues_text = bool(getattr(request, "continue_final_message", False))
        if getattr(request, "use_beam_search", False):
            _check_beam_search(request)
            stop = request.stop or ()
            current_request().beam_stop = (stop,) if isinstance(stop, str) else tuple(stop)
        for name in LIMITS if self._cap_limits else ():
            limit = getattr(request, name, None)
            if isinstance(limit, int) and limit > self._max_model_len:
                setattr(request, name, self._max_model_len)

    def _choose_projection(self, body: dict[str, Any]) -> None:
        """Store the projection of the request's model: a change of its file has no effect."""
        if self._projections is None:
            return
        name, request = body.get("model"), current_request()
        found = self._projections.find(name if isinstance(name, str) else None)
        projection = found or self._projections.base
        request.projection, request.model = projection, projection.name

    def _rewrite_chat_message(self, message: Any) -> Any:
        message = rewrite_message(message, self._embeddings_allowed)
        _check_parts(message)
        return message

    def _bound_boxes(self, body: dict[str, Any]) -> dict[str, Any]:
        """Turn our response format ``boxes`` into a regular expression, which vLLM knows."""
        wanted = body.get("response_format")
        if not isinstance(wanted, dict) or wanted.get("type") != "boxes":
            return body
        if not self._boxes:
            raise RequestError("This model's answers hold no boxes.", "response_format")
        if body.get("structured_outputs") is not None:
            raise RequestError(
                "`response_format` and `structured_outputs` cannot be combined.", "response_format"
            )
        try:
            pattern = write_pattern(wanted)
        except ValueError as error:
            raise RequestError(str(error), "response_format") from None
        others = {name: body[name] for name in body if name != "response_format"}
        return {**others, "structured_outputs": {"regex": pattern}}


def _take_orientation(body: dict[str, Any]) -> dict[str, Any]:
    """Store the orientation of the request's images; vLLM refuses clients' ``media_io_kwargs``."""
    match body.get("media_io_kwargs"):
        case {"image": {"orientation": _, **others}, **media} if not others and not media:
            current_request().orientation = read_orientation(body["media_io_kwargs"])
            return {name: body[name] for name in body if name != "media_io_kwargs"}
    return body


def _check_beam_search(request: Any) -> None:
    """Raise :class:`RequestError` for structured output, which vLLM would ignore."""
    wanted = getattr(request.response_format, "type", "text")
    if request.structured_outputs is not None or wanted != "text":
        raise RequestError(
            "Beam search cannot be combined with structured output.", "use_beam_search"
        )


def _check_parts(message: Any) -> None:
    """Raise :class:`RequestError` for parts that are neither text nor an image."""
    content = message.get("content") if isinstance(message, dict) else None
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in SERVED_PARTS:
            raise RequestError(
                f"This content part of type `{kind[:40]}` is not served: "
                "a message holds text and images.",
                "messages",
            )


def _rewrite_messages(body: dict[str, Any], rewrite: Any) -> dict[str, Any]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    return {**body, "messages": [rewrite(message) for message in messages]}
