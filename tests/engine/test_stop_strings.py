"""The family's stop strings beside the client's."""

from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from service.engine.stop_strings import end_naturally, missing_stop, with_stop


def test_the_familys_stop_strings_join_the_clients() -> None:
    params = SamplingParams(stop=["x"])
    stopped = with_stop(params, missing_stop(params, ("###",)))
    assert stopped.stop == ["x", "###"]
    assert stopped.output_text_buffer_length == 2
    assert params.stop == ["x"], "the client's own parameters are left as they were"


@pytest.mark.parametrize(
    "options",
    [
        {"ignore_eos": True},
        {"detokenize": False},
        {"stop": ["###"]},
        {"structured_outputs": StructuredOutputsParams(json={"type": "string"})},
        {"structured_outputs": StructuredOutputsParams(regex="a#*")},
    ],
)
def test_stop_strings_are_not_added_where_they_do_not_belong(options: dict[str, Any]) -> None:
    params = SamplingParams(**options)
    assert missing_stop(params, ("###",)) == ()
    assert with_stop(params, ()) is params


async def test_only_what_the_client_asked_for_is_given_as_the_reason() -> None:
    closed = []

    async def answer() -> AsyncGenerator[Any, None]:
        try:
            for reason in (None, "###", "x", 7):
                yield SimpleNamespace(outputs=[SimpleNamespace(stop_reason=reason)])
        finally:
            closed.append(True)

    outputs = [output async for output in end_naturally(answer(), ("###",))]
    assert [output.outputs[0].stop_reason for output in outputs] == [None, None, "x", 7]
    assert closed
