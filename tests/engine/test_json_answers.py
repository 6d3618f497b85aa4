"""What a grammar for JSON leaves open is closed."""

import json
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from service.engine.json_answers import (
    IMPOSSIBLE,
    LARGEST_INTEGER,
    bound_integers,
    find_control_tokens,
    forbid_tokens,
)

MOST, LEAST = LARGEST_INTEGER, -LARGEST_INTEGER


def bounded(schema: Any) -> Any:
    params = SamplingParams(structured_outputs=StructuredOutputsParams(json=schema))
    result = bound_integers(params)
    assert params.structured_outputs is not None
    assert params.structured_outputs.json == schema, "the client's own parameters stay"
    assert result.structured_outputs is not None
    return result.structured_outputs.json


@pytest.mark.parametrize(
    ("schema", "bounds"),
    [
        ({}, {"minimum": LEAST, "maximum": MOST}),
        ({"minimum": 3}, {"minimum": 3, "maximum": MOST}),
        ({"exclusiveMaximum": 3}, {"minimum": LEAST, "exclusiveMaximum": 3}),
        ({"minimum": 10**18}, {"minimum": 10**18, "maximum": 10**18}),
    ],
)
def test_an_integer_is_bounded(schema: dict[str, Any], bounds: dict[str, Any]) -> None:
    integer = {"type": "integer", **schema}
    assert bounded(integer) == {"type": "integer", **bounds}
    nested = {"type": "object", "properties": {"a": {"anyOf": [integer, {"type": "null"}]}}}
    inner = bounded(nested)["properties"]["a"]["anyOf"][0]
    assert inner == {"type": "integer", **bounds}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "integer", "enum": [1, 2]},
        {"const": {"type": "integer"}},
        {"type": "object", "properties": {"type": {"type": "string"}}},
    ],
    ids=str,
)
def test_other_schemas_stay(schema: Any) -> None:
    assert bounded(schema) == schema


def test_a_schema_may_be_text() -> None:
    assert json.loads(bounded('{"type": "integer"}'))["maximum"] == MOST


def test_other_constraints_stay() -> None:
    for params in (
        SamplingParams(),
        SamplingParams(structured_outputs=StructuredOutputsParams(regex="a")),
    ):
        assert bound_integers(params) is params


def test_tokens_of_control_characters_are_found() -> None:
    bytes_ = {f"<0x{byte:02X}>": byte for byte in range(256)}
    words = {"a": 300, "\t\t": 301, "\n": 302, "<0x1>": 303}
    expected = {byte for byte in range(32) if chr(byte) not in "\r\n"} | {301}
    assert set(find_control_tokens({**bytes_, **words})) == expected


def test_they_are_impossible_in_json_and_elsewhere_allowed() -> None:
    json_params = SamplingParams(
        structured_outputs=StructuredOutputsParams(json_object=True), logit_bias={7: 1.0}
    )
    assert forbid_tokens(json_params, [3]).logit_bias == {7: 1.0, 3: IMPOSSIBLE}
    for params in (
        SamplingParams(),
        SamplingParams(structured_outputs=StructuredOutputsParams(regex="\t")),
    ):
        assert forbid_tokens(params, [3]) is params
