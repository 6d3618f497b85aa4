"""The ``openai`` package: chat, streams, responses, files, parsed answers, asynchronous, errors."""

from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from tests.clients.example import ANSWER, MODEL, NO_MODEL, PICTURE, QUESTION, URI


class Scene(BaseModel):
    background: Literal["white", "black", "grey", "beige"]


CONTENT: list[Any] = [
    {"type": "text", "text": QUESTION},
    {"type": "image_url", "image_url": {"url": URI}},
]
MESSAGES: list[Any] = [{"role": "user", "content": CONTENT}]
INPUT: list[Any] = [
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": QUESTION},
            {"type": "input_image", "image_url": URI},
        ],
    }
]


def text_of(completion: ChatCompletion) -> str:
    return completion.choices[0].message.content or ""


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="unused") as client:
        yield client


def test_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_chat(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert ANSWER in text_of(completion)
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage
    assert completion.usage.total_tokens > completion.usage.prompt_tokens > 32


def test_stream_with_usage(client: OpenAI) -> None:
    with client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert ANSWER in text
    assert len(chunks) > 3
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens > 0


def test_stream_helper(client: OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        completion = stream.get_final_completion()
    assert ANSWER in text_of(completion)


def test_parse(client: OpenAI) -> None:
    completion = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, response_format=Scene
    )
    assert completion.choices[0].message.parsed == Scene(background=ANSWER)


def test_function(client: OpenAI) -> None:
    completion = client.chat.completions.parse(
        model=MODEL,
        messages=MESSAGES,
        tools=[openai.pydantic_function_tool(Scene)],
        tool_choice={"type": "function", "function": {"name": "Scene"}},
    )
    (call,) = completion.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == Scene(background=ANSWER)


def test_a_choice_of_tools_is_refused_with_what_to_do(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="tool_choice"):
        client.chat.completions.create(
            model=MODEL, messages=MESSAGES, tools=[openai.pydantic_function_tool(Scene)]
        )


def test_responses(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=INPUT)
    assert ANSWER in response.output_text
    assert response.status == "completed"


def test_responses_stream(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input=INPUT) as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(pieces) == final.output_text
    assert ANSWER in final.output_text


def test_responses_parse(client: OpenAI) -> None:
    response = client.responses.parse(model=MODEL, input=INPUT, text_format=Scene)
    assert response.output_parsed == Scene(background=ANSWER)


def test_files(client: OpenAI) -> None:
    with PICTURE.open("rb") as file:
        uploaded = client.files.create(file=file, purpose="vision")
    content = [
        {"type": "input_text", "text": QUESTION},
        {"type": "input_image", "file_id": uploaded.id},
    ]
    message: Any = {"role": "user", "content": content}
    assert ANSWER in client.responses.create(model=MODEL, input=[message]).output_text
    part = {"type": "file", "file": {"file_id": uploaded.id}}
    message = {"role": "user", "content": [part, CONTENT[0]]}
    completion = client.chat.completions.create(model=MODEL, messages=[message])
    assert ANSWER in text_of(completion)
    assert uploaded.id in [file.id for file in client.files.list()]
    assert client.files.content(uploaded.id).read() == PICTURE.read_bytes()
    assert client.files.delete(uploaded.id).deleted


@pytest.mark.parametrize("purpose", ["vision", "user_data"])
def test_purposes(client: OpenAI, purpose: Literal["vision", "user_data"]) -> None:
    uploaded = client.files.create(file=PICTURE, purpose=purpose)
    assert uploaded.purpose == purpose
    client.files.delete(uploaded.id)


async def test_asynchronous(url: str) -> None:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="unused") as client:
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert ANSWER in "".join(pieces)


def test_errors(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=NO_MODEL):
        client.chat.completions.create(model=NO_MODEL, messages=MESSAGES)
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    broken: Any = {"role": "user", "content": [part]}
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=MODEL, messages=[broken])
    assert error.value.param == "image_url"
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=-1)


def test_newer_fields_are_ignored_and_limits_lowered(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        max_tokens=4096,
        metadata={"app": "test"},
        store=False,
        safety_identifier="user",
        extra_body={"a_field_of_next_year": 1},
    )
    assert ANSWER in text_of(completion)
