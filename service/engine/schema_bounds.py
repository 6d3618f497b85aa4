"""Bounds on integers in a JSON schema, for schemas that give none.

A grammar allows an unbounded integer any number of digits. A model that has begun one may go on to the limit of its
answer, which is then not valid JSON.
"""

import json
from typing import Any

from vllm.sampling_params import SamplingParams

LARGEST_INTEGER = 10**15 - 1
"""Every reader of JSON keeps integers of this size exactly: JavaScript's limit is 2**53."""

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
