"""Bounds of structured output, without an engine."""

from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from service.engine.constraints import MAX_COUNT, REPETITION, check_constraints, refuse_dead_ends
from service.plugin.errors import BadRequestError

ENGINE: Any = None  # refused before it is asked

TOO_OFTEN: list[dict[str, Any]] = [
    {"json": {"type": "array", "minItems": 10**9}},
    {"json": '{"anyOf": [{"type": "string", "minLength": 1e9}]}'},
    {"json": {"properties": {"a": {"pattern": "a{99999999999}"}}}},
    {"regex": f"a{{1,{MAX_COUNT + 1}}}"},
    {"regex": "a{ 70000 , }"},
    {"grammar": 'root ::= "a"{100000}'},
    {"structural_tag": '{"structures": [{"schema": {"maxProperties": 1e9}}]}'},
]


@pytest.mark.parametrize("wanted", TOO_OFTEN, ids=str)
def test_too_many_repetitions_are_refused(wanted: dict[str, Any]) -> None:
    params = SamplingParams(structured_outputs=StructuredOutputsParams(**wanted))
    with pytest.raises(BadRequestError, match="repeats"):
        check_constraints(ENGINE, params)


@pytest.mark.parametrize("text", ["{" + " " * 60_000, "{" + "1" * 60_000, "{ " * 30_000])
def test_counts_are_found_in_linear_time(text: str) -> None:
    """With backtracking over the blanks, this would take minutes."""
    assert list(REPETITION.finditer(text)) == []


async def test_an_answer_without_an_allowed_token_is_refused() -> None:
    closed = []

    async def answer() -> AsyncGenerator[Any, None]:
        try:
            for reason in (None, "error"):
                yield SimpleNamespace(outputs=[SimpleNamespace(finish_reason=reason)])
        finally:
            closed.append(True)

    outputs = refuse_dead_ends(answer())
    await anext(outputs)
    with pytest.raises(BadRequestError, match="No text fits"):
        await anext(outputs)
    assert closed
