"""The space before an answer is stripped where the original strips it."""

from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from service.engine.leading_space import has_leading_space_stripped, strip_leading_space
from service.request_context import RequestContext, enter_request, leave_request


async def outputs(texts: list[tuple[str, ...]]) -> AsyncIterator[Any]:
    for choices in texts:
        yield SimpleNamespace(
            outputs=[SimpleNamespace(index=i, text=text) for i, text in enumerate(choices)]
        )


async def strip(texts: Sequence[tuple[str, ...]], kind: RequestOutputKind) -> list[list[str]]:
    answer = strip_leading_space(outputs(texts), kind)  # type: ignore[arg-type]
    return [[choice.text for choice in output.outputs] async for output in answer]


async def test_a_stream_loses_the_space_before_its_first_word_only() -> None:
    texts = [(" ", " A"), (" The", " b"), (" end", "")]
    assert await strip(texts, RequestOutputKind.DELTA) == [["", "A"], ["The", " b"], [" end", ""]]


@pytest.mark.parametrize("kind", [RequestOutputKind.CUMULATIVE, RequestOutputKind.FINAL_ONLY])
async def test_a_whole_text_is_stripped_each_time(kind: RequestOutputKind) -> None:
    assert await strip([(" The",), (" The end ",)], kind) == [["The"], ["The end "]]


@pytest.mark.parametrize(
    ("request_id", "params", "continues", "expected"),
    [
        ("chatcmpl-1", SamplingParams(), False, True),
        ("resp_1", SamplingParams(), False, True),
        ("cmpl-1", SamplingParams(), False, False),
        ("chatcmpl-1", SamplingParams(), True, False),
        ("chatcmpl-1", SamplingParams(detokenize=False), False, False),
        (
            "chatcmpl-1",
            SamplingParams(structured_outputs=StructuredOutputsParams(regex=" x")),
            False,
            False,
        ),
    ],
)
def test_a_space_that_counts_is_kept(
    request_id: str, params: SamplingParams, continues: bool, expected: bool
) -> None:
    token = enter_request(RequestContext(continues_text=continues))
    assert has_leading_space_stripped(params, request_id) is expected
    leave_request(token)
