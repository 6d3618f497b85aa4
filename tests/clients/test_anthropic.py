"""The ``anthropic`` package: messages, streams, a forced tool and its result, errors."""

import base64
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import Message

from tests.clients.example import ANSWER, MODEL, NO_MODEL, PICTURE, QUESTION, SCHEMA

DATA = base64.standard_b64encode(PICTURE.read_bytes()).decode()
SOURCE = {"type": "base64", "media_type": "image/png", "data": DATA}
LIMIT = 100


def ask(source: dict[str, str]) -> list[Any]:
    content = [{"type": "image", "source": source}, {"type": "text", "text": QUESTION}]
    return [{"role": "user", "content": content}]


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=url, api_key="unused") as client:
        yield client


def test_message(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=LIMIT, messages=ask(SOURCE))
    assert ANSWER in text_of(message)
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


def test_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=LIMIT, messages=ask(SOURCE)) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 1
    assert ANSWER in "".join(pieces)
    assert final.stop_reason == "end_turn"


def test_system_prompt(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model=MODEL,
        max_tokens=LIMIT,
        system="Give the following image: <Img>ImageContent</Img>. You will be able to see it.",
        messages=ask(SOURCE),
    )
    assert ANSWER in text_of(message)


def test_forced_tool(client: anthropic.Anthropic) -> None:
    tool: Any = {"name": "describe", "description": "Describes the scene", "input_schema": SCHEMA}
    message = client.messages.create(
        model=MODEL,
        max_tokens=LIMIT,
        tools=[tool],
        tool_choice={"type": "tool", "name": "describe"},
        messages=ask(SOURCE),
    )
    (block,) = [block for block in message.content if block.type == "tool_use"]
    assert block.input == {"background": ANSWER}


def test_a_conversation_after_a_tool(client: anthropic.Anthropic) -> None:
    call = {"type": "tool_use", "id": "1", "name": "describe", "input": {"background": ANSWER}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "Noted."}
    messages: list[Any] = [
        *ask(SOURCE),
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result, {"type": "text", "text": QUESTION}]},
    ]
    message = client.messages.create(model=MODEL, max_tokens=LIMIT, messages=messages)
    assert ANSWER in text_of(message)


def test_count_tokens(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model=MODEL, messages=ask(SOURCE))
    assert counted.input_tokens > 32


def test_errors(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match=NO_MODEL):
        client.messages.create(model=NO_MODEL, max_tokens=LIMIT, messages=ask(SOURCE))
    broken = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    with pytest.raises(anthropic.BadRequestError, match="image"):
        client.messages.create(model=MODEL, max_tokens=LIMIT, messages=ask(broken))
