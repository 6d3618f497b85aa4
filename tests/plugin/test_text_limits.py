"""A prompt is bounded before anything reads it."""

from typing import Any

import httpx
import pytest

from service.errors import RequestError
from service.plugin.text_limits import (
    MAX_PIECES,
    MAX_TEMPLATE_ARGUMENTS,
    check_conversation,
    check_template_arguments,
    max_characters,
)
from tests.server import ServerProcess

IMAGE = {"type": "image_url", "image_url": {"url": "data:" + "x" * 1000}}


def check(content: Any, messages: int = 1, arguments: int = 0) -> None:
    check_conversation([{"role": "user", "content": content}] * messages, 100)
    check_template_arguments({str(number): 1 for number in range(arguments)})


@pytest.mark.parametrize(
    "fits",
    [
        {"content": "a" * 100},
        {"content": [{"type": "text", "text": "a" * 50}] * 2},
        {"content": [IMAGE, {"type": "text", "text": "a"}]},
        {"content": None, "messages": MAX_PIECES},
        {"content": [IMAGE] * (MAX_PIECES - 1)},
        {"content": "a", "arguments": MAX_TEMPLATE_ARGUMENTS},
    ],
    ids=lambda case: str(case)[:40],
)
def test_what_fits_passes(fits: dict[str, Any]) -> None:
    check(**fits)


@pytest.mark.parametrize(
    "too_much",
    [
        {"content": "a" * 101},
        {"content": "a" * 51, "messages": 2},
        {"content": [{"type": "text", "text": "a" * 51}] * 2},
        {"content": ["a" * 51] * 2},
        {"content": None, "messages": MAX_PIECES + 1},
        {"content": [IMAGE] * MAX_PIECES},
        {"content": "a", "arguments": MAX_TEMPLATE_ARGUMENTS + 1},
    ],
    ids=lambda case: str(case)[:40],
)
def test_too_much_is_refused(too_much: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        check(**too_much)


LONG = "a " * max_characters(2048)
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
