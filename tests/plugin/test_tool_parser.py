"""A stream without tools is the same as without a parser."""

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser import ParserManager

from service.plugin.names import TOOL_PARSER
from service.plugin.register import register

TOKENIZER: Any = SimpleNamespace(get_vocab=dict)
PIECES = ["A ", "", "red", "", " circle."]
BODY = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
FUNCTION = {"type": "function", "function": {"name": "tell", "parameters": {"type": "object"}}}


def stream(request: ChatCompletionRequest, pieces: list[str]) -> list[Any]:
    register()
    kind = ParserManager.get_parser(TOOL_PARSER, enable_auto_tools=True)
    assert kind is not None
    tools: list[Any] | None = request.tools
    parser = kind(TOKENIZER, tools)
    return [
        parser.parse_delta(piece, [number], request, [1], finished=piece is pieces[-1])
        for number, piece in enumerate(pieces)
    ]


def test_each_token_has_its_chunk() -> None:
    request = ChatCompletionRequest.model_validate(BODY)
    assert [delta.content for delta in stream(request, PIECES)] == PIECES


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "tell"}}])
def test_the_arguments_of_a_function_are_streamed(choice: Any) -> None:
    request = ChatCompletionRequest.model_validate(
        {**BODY, "tools": [FUNCTION], "tool_choice": choice}
    )
    pieces = (
        ['[{"name": "tell", ', '"parameters": ', '{"a": ', "1}", "}]"]
        if choice == "required"
        else ['{"a": ', "1}"]
    )
    calls = [call for delta in stream(request, pieces) if delta for call in delta.tool_calls]
    assert calls[0].function.name == "tell"
    assert "".join(call.function.arguments or "" for call in calls) == '{"a": 1}'
