"""Turn messages about tool calls into plain turns: the families have only user and assistant.

A client that got structured output through a named function sends that call and the function's
result with its next question.
"""

from collections.abc import Mapping
from typing import Any


def rewrite_tool_message(message: Any) -> Any:
    """Return ``message`` without calls: arguments become the model's text, results the user's."""
    if not isinstance(message, Mapping):
        return message
    if message.get("role") == "tool":
        return {"role": "user", "content": message.get("content")}
    if message.get("role") == "assistant" and message.get("tool_calls"):
        return {"role": "assistant", "content": [*_parts(message), *_arguments(message)]}
    return message


def _parts(message: Mapping[str, Any]) -> list[Any]:
    content = message.get("content")
    return [_text(content)] if isinstance(content, str) and content else list(content or ())


def _arguments(message: Mapping[str, Any]) -> list[Any]:
    functions = (call.get("function") or {} for call in message["tool_calls"])
    return [_text(str(function.get("arguments", ""))) for function in functions]


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
