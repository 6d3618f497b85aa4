"""Make one sentence from pydantic's errors: the wrong parameter, and what it must be.

Pydantic lists an error for each alternative of a union: nineteen for a message without content. The
client needs only the errors of the alternative that it meant.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vllm.exceptions import VLLMValidationError

Error = Mapping[str, Any]
"""One item of ``ValidationError.errors()``."""

FIELD = re.compile(r"[a-z_][a-z0-9_]*")
TYPE_NAMES = frozenset(
    {"str", "int", "float", "bool", "bytes", "list", "dict", "tuple", "set", "none", "json"}
)
"""Parts of a location that name an alternative of a union, not a field."""

NOUNS = {
    "string_type": "a string",
    "list_type": "a list",
    "iterable_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
DISCRIMINATORS = ("type", "role")
"""Fields whose value selects an alternative of a union."""


def describe(errors: Sequence[Error], prefix: str = "") -> tuple[str, str | None]:
    """Return the sentence and its parameter (None for the whole body).

    Args:
        errors: At least one error.
        prefix: Parameter that the locations are relative to.
    """
    error = _meant_alternative(errors)[0]
    if error["type"] == "json_invalid":
        return "The body is not valid JSON.", None
    if (custom := _own_error(error)) is not None:
        return str(custom.args[0]), custom.parameter
    parameter = ".".join(filter(None, (prefix, _parameter(error))))
    same_place = [other for other in errors if _parameter(other) == _parameter(error)]
    return _sentence(error, same_place, f"`{parameter}`" if parameter else "The body"), (
        parameter or None
    )


def _sentence(error: Error, same_place: Sequence[Error], subject: str) -> str:
    kind, message = error["type"], str(error["msg"])
    if kind == "missing":
        return f"{subject} is required."
    if kind == "extra_forbidden":
        return f"{subject} is not a parameter of this route."
    if kind in NOUNS:
        nouns = dict.fromkeys(
            NOUNS[other["type"]] for other in same_place if other["type"] in NOUNS
        )
        return f"{subject} must be {' or '.join(nouns)}."
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if message.startswith("Input should be "):
        return f"{subject} must be {message.removeprefix('Input should be ')}."
    return f"{subject} is not valid."


def _meant_alternative(errors: Sequence[Error]) -> list[Error]:
    """Return the errors of the alternative that fits the type field and has the fewest errors."""
    groups: dict[tuple[str, ...], list[Error]] = {}
    for error in errors:
        groups.setdefault(tuple(_alternatives(error)), []).append(error)
    meant = [group for group in groups.values() if not any(map(_is_ruled_out, group))]
    return min(meant or groups.values(), key=len)


def _is_ruled_out(error: Error) -> bool:
    return error["type"] == "literal_error" and error["loc"][-1] in DISCRIMINATORS


def _alternatives(error: Error) -> Iterable[str]:
    """Return the class names in the location; plain types do not distinguish alternatives."""
    return (part for part in error["loc"] if isinstance(part, str) and part[:1].isupper())


def _parameter(error: Error) -> str:
    """Return the location in the client's terms: ``messages.0.content``."""
    return ".".join(str(part) for part in error["loc"] if _is_field(part))


def _is_field(part: str | int) -> bool:
    if isinstance(part, int):
        return True
    return part != "body" and part not in TYPE_NAMES and FIELD.fullmatch(part) is not None


def _own_error(error: Error) -> VLLMValidationError | None:
    """An error of a validator with a message for clients."""
    raised = error.get("ctx", {}).get("error")
    return raised if isinstance(raised, VLLMValidationError) else None
