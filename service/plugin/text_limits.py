"""How much a prompt may be made of, looked at before a template or the tokenizer reads it.

vLLM looks at a text's length where nothing is to be cut off it. What is to be cut, or only counted, is
tokenized whole, and a template goes over every message: a body of the largest size took minutes and
gibibytes.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from service.plugin.errors import BadRequestError

MAX_PIECES = 4096
"""Messages and content parts of a conversation; each takes some tokens, so that no context holds more."""

MAX_ARGUMENTS = 64
"""Arguments for the chat template, which knows few."""

LONGEST_TOKEN = 16
"""Characters; of Llama's vocabulary."""

LEAST = 1 << 16


def most_characters(max_model_len: int) -> int:
    """Of a text, for a context of so many tokens."""
    return max(LEAST, LONGEST_TOKEN * max_model_len)


def bounding_conversations(
    render: Callable[..., Awaitable[Any]], most: int
) -> Callable[..., Awaitable[Any]]:
    """``render`` (``render_chat_async`` of vLLM's renderers), raising :class:`BadRequestError` for too much.

    Args:
        most: Characters of all texts of a conversation.
    """

    async def rendered(conversations: Any, chat_params: Any, *args: Any, **options: Any) -> Any:
        for conversation in conversations:
            _check_conversation(conversation, most)
        if len(chat_params.chat_template_kwargs) > MAX_ARGUMENTS:
            raise BadRequestError(
                f"The chat template takes {MAX_ARGUMENTS} arguments at most.",
                parameter="chat_template_kwargs",
            )
        return await render(conversations, chat_params, *args, **options)

    return rendered


def bounding_text(
    tokenize: Callable[..., Awaitable[Any]], most: int
) -> Callable[..., Awaitable[Any]]:
    """``tokenize`` (``tokenize_prompt_async``), raising :class:`BadRequestError` for too long a text."""

    async def tokenized(prompt: Any, *args: Any, **options: Any) -> Any:
        if len(prompt.get("prompt") or "") > most:
            raise _too_long(most)
        return await tokenize(prompt, *args, **options)

    return tokenized


def _check_conversation(messages: Sequence[Any], most: int) -> None:
    pieces, characters = len(messages), 0
    for content in _contents(messages):
        if isinstance(content, list):
            pieces += len(content)
            characters += sum(map(_characters, content))
        else:
            characters += _characters(content)
    if pieces > MAX_PIECES:
        raise BadRequestError(
            f"A conversation has {MAX_PIECES} messages and parts at most.", parameter="messages"
        )
    if characters > most:
        raise _too_long(most)


def _contents(messages: Sequence[Any]) -> Iterator[Any]:
    for message in messages:
        yield message.get("content") if isinstance(message, dict) else None


def _characters(part: Any) -> int:
    text = part.get("text") if isinstance(part, dict) else part
    return len(text) if isinstance(text, str) else 0


def _too_long(most: int) -> BadRequestError:
    return BadRequestError(f"The text has more than {most} characters.")
