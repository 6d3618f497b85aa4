"""Limit the text of a prompt before a chat template or the tokenizer reads it.

vLLM checks a text's length only if the text is not truncated. A text that is truncated or only
counted is tokenized completely, and a template reads all messages: the largest body took minutes
and gibibytes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from service.errors import RequestError

MAX_PIECES = 4096
"""Maximum number of messages and content parts. Each takes some tokens, so no context holds more."""

MAX_TEMPLATE_ARGUMENTS = 64
"""Maximum number of arguments for the chat template. Templates use a few."""

LONGEST_TOKEN = 16
"""Characters of the longest token in Llama's vocabulary."""

MIN_CHARACTERS = 1 << 16


def max_characters(max_model_len: int) -> int:
    """Return the maximum number of characters for a context of ``max_model_len`` tokens."""
    return max(MIN_CHARACTERS, LONGEST_TOKEN * max_model_len)


def check_conversation(messages: Sequence[Any], limit: int) -> None:
    """Raise :class:`RequestError` for too many messages, parts or characters."""
    pieces, characters = len(messages), 0
    for content in _contents(messages):
        if isinstance(content, list):
            pieces += len(content)
            characters += sum(map(_count_characters, content))
        else:
            characters += _count_characters(content)
    if pieces > MAX_PIECES:
        raise RequestError(
            f"A conversation has {MAX_PIECES} messages and parts at most.", "messages"
        )
    check_length(characters, limit)


def check_template_arguments(arguments: dict[str, Any]) -> None:
    """Raise :class:`RequestError` for too many arguments of the chat template."""
    if len(arguments) > MAX_TEMPLATE_ARGUMENTS:
        raise RequestError(
            f"The chat template takes {MAX_TEMPLATE_ARGUMENTS} arguments at most.",
            "chat_template_kwargs",
        )


def check_length(characters: int, limit: int) -> None:
    """Raise :class:`RequestError` for a text that is too long."""
    if characters > limit:
        raise RequestError(f"The text has more than {limit} characters.")


def _contents(messages: Sequence[Any]) -> Iterator[Any]:
    for message in messages:
        yield message.get("content") if isinstance(message, dict) else None


def _count_characters(part: Any) -> int:
    text = part.get("text") if isinstance(part, dict) else part
    return len(text) if isinstance(text, str) else 0
