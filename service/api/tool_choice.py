"""Which ``tools`` are served, by one rule for the chat, responses and messages routes.

With a grammar, the model can write the arguments of a function that the client names or requires.
The model was not trained to decide by itself whether to call a function.
"""

from collections.abc import Mapping
from typing import Any

from service.errors import RequestError

LEFT_TO_THE_MODEL = (None, "auto")
ANY_FUNCTION = ("required", "any")

NO_CHOICE = (
    "This model does not decide by itself to call a tool. Name one function in `tool_choice`, or "
    "send `required`, to get its arguments; or ask for structured output with `response_format`; "
    "or send `tool_choice: none`. An operator can serve a model that calls tools with "
    "--enable-auto-tool-choice and "
    "--tool-call-parser."
)


def prepare_tools(body: dict[str, Any], model_chooses: bool) -> dict[str, Any]:
    """Return ``body`` without unused tools, and with the only function named.

    If any function is required, vLLM's grammar allows a list of calls, which an untrained model may
    continue to its limit. A named function is a single call.

    Args:
        body: Of any of the three routes; the choice is a word or, with Anthropic's clients, an
            object's type.
        model_chooses: Whether the served model decides by itself.

    Raises:
        RequestError: the choice is left to a model that does not make it.
    """
    choice = body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    if not body.get("tools") or kind == "none":
        return {name: body[name] for name in body if name not in ("tools", "tool_choice")}
    if not model_chooses and kind in LEFT_TO_THE_MODEL:
        raise RequestError(NO_CHOICE, "tools")
    if not model_chooses and kind in ANY_FUNCTION and (named := _name_only_function(body["tools"])):
        options = choice if isinstance(choice, Mapping) else {}
        return {**body, "tool_choice": {**options, **named}}
    return body


def _name_only_function(tools: Any) -> dict[str, Any] | None:
    """Return the choice of the only function; None for several functions or other tools."""
    match tools:
        case [{"type": "function", "function": {"name": name}}]:
            return {"type": "function", "function": {"name": name}}
        case [{"type": "function", "name": name}]:
            return {"type": "function", "name": name}
        case [{"input_schema": _, "name": name}]:
            return {"type": "tool", "name": name}
    return None
