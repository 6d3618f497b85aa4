"""``langchain-openai``: invoke, stream, batch, structured output by both methods, errors."""

from typing import Any, Literal

import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.clients.example import ANSWER, MODEL, NO_MODEL, QUESTION, URI


class Scene(BaseModel):
    """What the picture shows."""

    background: Literal["white", "black", "grey", "beige"]


CONTENT: list[Any] = [
    {"type": "text", "text": QUESTION},
    {"type": "image_url", "image_url": {"url": URI}},
]
STANDARD_CONTENT: list[Any] = [
    {"type": "text", "text": QUESTION},
    {"type": "image", "base64": URI.partition(",")[2], "mime_type": "image/png"},
]


def connect(url: str, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": MODEL, "base_url": f"{url}/v1", "api_key": "unused", **options})


@pytest.fixture(scope="module")
def model(url: str) -> ChatOpenAI:
    return connect(url)


@pytest.mark.parametrize("content", [CONTENT, STANDARD_CONTENT], ids=["openai", "standard"])
def test_invoke(model: ChatOpenAI, content: list[Any]) -> None:
    message = model.invoke([HumanMessage(content=content)])
    assert ANSWER in message.text
    assert message.usage_metadata
    assert message.usage_metadata["input_tokens"] > 32


def test_stream(model: ChatOpenAI) -> None:
    pieces = [piece.text for piece in model.stream([HumanMessage(content=CONTENT)])]
    assert len(pieces) > 3
    assert ANSWER in "".join(pieces)


async def test_batch(url: str) -> None:
    # A client of its own: connections of an asynchronous client belong to one event loop.
    model = connect(url)
    messages = await model.abatch([[HumanMessage(content=CONTENT)]] * 4)
    assert all(ANSWER in message.text for message in messages)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(
    model: ChatOpenAI, method: Literal["json_schema", "function_calling"]
) -> None:
    structured = model.with_structured_output(Scene, method=method)
    assert structured.invoke([HumanMessage(content=CONTENT)]) == Scene(background=ANSWER)


def test_responses(url: str) -> None:
    model = connect(url, use_responses_api=True)
    assert ANSWER in model.invoke([HumanMessage(content=CONTENT)]).text


def test_errors(url: str, model: ChatOpenAI) -> None:
    other = connect(url, model=NO_MODEL)
    with pytest.raises(openai.NotFoundError, match=NO_MODEL):
        other.invoke("Hello")
    broken: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(openai.BadRequestError, match="image"):
        model.invoke([HumanMessage(content=[broken])])
