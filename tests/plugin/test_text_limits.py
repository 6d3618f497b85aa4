"""A prompt is bounded before anything reads it."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from service.plugin.errors import BadRequestError
from service.plugin.text_limits import (
    MAX_ARGUMENTS,
    MAX_PIECES,
    bounding_conversations,
    bounding_text,
    most_characters,
)
from tests.server import ServerProcess

IMAGE = {"type": "image_url", "image_url": {"url": "data:" + "x" * 1000}}


async def render(content: Any, messages: int = 1, arguments: int = 0) -> str:
    async def rendered(*_: Any) -> str:
        return "rendered"

    conversation = [{"role": "user", "content": content}] * messages
    kwargs = {str(number): 1 for number in range(arguments)}
    params = SimpleNamespace(chat_template_kwargs=kwargs)
    return str(await bounding_conversations(rendered, 100)([conversation], params))


@pytest.mark.parametrize(
    "fits",
    [
        {"content": "a" * 100},
        {"content": [{"type": "text", "text": "a" * 50}] * 2},
        {"content": [IMAGE, {"type": "text", "text": "a"}]},
        {"content": None, "messages": MAX_PIECES},
        {"content": [IMAGE] * (MAX_PIECES - 1)},
        {"content": "a", "arguments": MAX_ARGUMENTS},
    ],
    ids=lambda case: str(case)[:40],
)
async def test_what_fits_is_rendered(fits: dict[str, Any]) -> None:
    assert await render(**fits) == "rendered"


@pytest.mark.parametrize(
    "too_much",
    [
        {"content": "a" * 101},
        {"content": "a" * 51, "messages": 2},
        {"content": [{"type": "text", "text": "a" * 51}] * 2},
        {"content": ["a" * 51] * 2},
        {"content": None, "messages": MAX_PIECES + 1},
        {"content": [IMAGE] * MAX_PIECES},
        {"content": "a", "arguments": MAX_ARGUMENTS + 1},
    ],
    ids=lambda case: str(case)[:40],
)
async def test_too_much_is_refused(too_much: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        await render(**too_much)


async def test_a_text_is_bounded_and_token_ids_are_not_a_text() -> None:
    async def tokenized(prompt: Any) -> Any:
        return prompt

    tokenize = bounding_text(tokenized, 100)
    for prompt in ({"prompt": "a" * 100}, {"prompt_token_ids": [1] * 200}):
        assert await tokenize(prompt) == prompt
    with pytest.raises(BadRequestError):
        await tokenize({"prompt": "a" * 101})


LONG = "a " * most_characters(2048)
MANY = [{"role": "user", "content": "a"}] * (MAX_PIECES + 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("tokenize", {"prompt": LONG}),
        ("v1/completions", {"prompt": LONG, "truncate_prompt_tokens": 5}),
        (
            "v1/chat/completions",
            {"messages": [{"role": "user", "content": LONG}], "truncate_prompt_tokens": 5},
        ),
        ("v1/chat/completions", {"messages": MANY}),
        ("v1/responses", {"input": MANY}),
        ("v1/messages", {"messages": MANY, "model": "minigpt4-vicuna", "max_tokens": 5}),
        ("v1/messages/count_tokens", {"messages": MANY, "model": "minigpt4-vicuna"}),
    ],
)
def test_every_route_refuses_too_much(server: ServerProcess, path: str, body: Any) -> None:
    answer = httpx.post(f"{server.url}/{path}", json=body, timeout=60)
    assert answer.status_code == 400
    assert "at most" in answer.text or "more than" in answer.text
