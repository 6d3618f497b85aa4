"""Adapts request bodies to what vLLM's routes take: what clients of other services send is served where it can be."""

from collections.abc import Mapping
from typing import Any

from service.errors import RequestError
from service.plugin.content_parts import rewrite_anthropic_message, rewrite_message
from service.request_context import current_request

CHAT = "/v1/chat/completions"
MESSAGES = ("/v1/messages", "/v1/messages/count_tokens")
SERVED_PARTS = frozenset({"text", "image_url", "refusal", "thinking"})
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

NO_TOOLS = (
    "This model does not choose tools by itself. Ask for structured output with `response_format`, or name one "
    "function in `tool_choice`, or send `tool_choice: none`. An operator can serve a model that calls tools with "
    "--enable-auto-tool-choice and --tool-call-parser."
)


class BodyAdapter:
    """What :func:`service.vllm_patches.body_validation.wrap_validation` calls around each validation."""

    def __init__(
        self, max_model_len: int, embeddings_allowed: bool, tool_parser: bool, cap_limits: bool
    ) -> None:
        """Keep what the checks need to know of the engine.

        Args:
            max_model_len: Tokens of the context.
            embeddings_allowed: Whether content parts may hold embeddings.
            tool_parser: Whether vLLM parses tool calls from answers.
            cap_limits: Whether a limit beyond the context is lowered to it; otherwise vLLM refuses it.
        """
        self._max_model_len = max_model_len
        self._embeddings_allowed = embeddings_allowed
        self._tool_parser = tool_parser
        self._cap_limits = cap_limits

    def prepare(self, path: str, body: Any) -> Any:
        """Rewrite the parsed JSON; raises :class:`RequestError` for what is not served."""
        if not isinstance(body, dict):
            return body
        if path == CHAT:
            return self._prepare_chat(body)
        if path in MESSAGES:
            return _rewrite_messages(body, rewrite_anthropic_message)
        return body

    def finish(self, request: Any) -> None:
        """Lower a limit on the answer's length to the context: vLLM then generates what fits.

        Notes for the engine client whether the answer continues the last message.
        """
        current_request().continues_text = bool(getattr(request, "continue_final_message", False))
        for name in LIMITS if self._cap_limits else ():
            limit = getattr(request, name, None)
            if isinstance(limit, int) and limit > self._max_model_len:
                setattr(request, name, self._max_model_len)

    def _rewrite_chat_message(self, message: Any) -> Any:
        message = rewrite_message(message, self._embeddings_allowed)
        _check_parts(message)
        return message

    def _prepare_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        body = _rewrite_messages(body, self._rewrite_chat_message)
        if not body.get("tools") or body.get("tool_choice") == "none":
            return {name: body[name] for name in body if name not in ("tools", "tool_choice")}
        if not self._tool_parser and not isinstance(body.get("tool_choice"), Mapping):
            raise RequestError(NO_TOOLS, "tools")
        return body


def _check_parts(message: Any) -> None:
    """Raise :class:`RequestError` for parts that are neither text nor an image."""
    content = message.get("content") if isinstance(message, dict) else None
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in SERVED_PARTS:
            raise RequestError(
                f"This content part of type `{kind[:40]}` is not served: a message holds text and images.",
                "messages",
            )


def _rewrite_messages(body: dict[str, Any], rewrite: Any) -> dict[str, Any]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    return {**body, "messages": [rewrite(message) for message in messages]}
