"""Prevent invalid answers that a JSON grammar allows.

- A grammar allows any number of digits in an integer without bounds, so a model may write digits up
  to the limit of its answer. Such integers get bounds.
- xgrammar allows raw control characters inside strings, such as tabs. JSON (RFC 8259) requires
  escapes. The tokens of these characters are forbidden.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from vllm.sampling_params import SamplingParams

LARGEST_INTEGER = 10**15 - 1
"""The bound. All JSON parsers keep integers of this size exactly; JavaScript's limit is 2**53."""

BYTE_TOKEN = re.compile(r"<0x(0[0-9BCEF]|1[0-9A-F])>")
"""Llama's tokens for single bytes, of the control characters except 0A and 0D."""

IMPOSSIBLE = -100.0
"""The lowest bias in OpenAI's API. The token's probability becomes less than 1e-40."""

VALUES = frozenset({"const", "enum", "default", "examples"})
"""Keywords whose content is a value and not a schema."""


def bound_integers(params: SamplingParams) -> SamplingParams:
    """``params`` whose JSON schema bounds all integers; the client's own bounds stay."""
    constraint = params.structured_outputs
    if constraint is None or constraint.json is None:
        return params
    schema = json.loads(constraint.json) if isinstance(constraint.json, str) else constraint.json
    params = params.clone()
    assert params.structured_outputs is not None
    bounded = _bound(schema)
    params.structured_outputs.json = (
        json.dumps(bounded) if isinstance(constraint.json, str) else bounded
    )
    return params


def _bound(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_bound(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    bounded = {name: value if name in VALUES else _bound(value) for name, value in schema.items()}
    if schema.get("type") == "integer" and not VALUES & schema.keys():
        if not schema.keys() & {"minimum", "exclusiveMinimum"}:
            bounded["minimum"] = min(-LARGEST_INTEGER, schema.get("maximum", 0))
        if not schema.keys() & {"maximum", "exclusiveMaximum"}:
            bounded["maximum"] = max(LARGEST_INTEGER, schema.get("minimum", 0))
    return bounded


def find_control_tokens(vocabulary: Mapping[str, int]) -> tuple[int, ...]:
    """Return the ids of tokens with a control character; grammars exclude line breaks already."""
    return tuple(
        token
        for text, token in vocabulary.items()
        if BYTE_TOKEN.fullmatch(text) or _has_control(text)
    )


def forbid_tokens(params: SamplingParams, tokens: Sequence[int]) -> SamplingParams:
    """``params`` under which an answer that is bound to JSON never holds one of ``tokens``."""
    constraint = params.structured_outputs
    if constraint is None or not (constraint.json or constraint.json_object):
        return params
    params = params.clone()
    params.logit_bias = {**(params.logit_bias or {}), **dict.fromkeys(tokens, IMPOSSIBLE)}
    return params


def _has_control(text: str) -> bool:
    return any(character < " " and character not in "\r\n" for character in text)
