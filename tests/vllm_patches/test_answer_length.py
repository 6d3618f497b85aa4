"""The default answer length is not a limit, and a limit beyond the context is lowered to it."""

from typing import Any

import httpx
import pytest

from service.families import DEFAULT_MAX_TOKENS
from tests.server import ServerProcess

CONTEXT = 2048
BODY: dict[str, Any] = {"ignore_eos": True, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("wanted", "tokens"),
    [({}, DEFAULT_MAX_TOKENS), ({"max_tokens": DEFAULT_MAX_TOKENS + 20}, DEFAULT_MAX_TOKENS + 20)],
)
def test_a_default_is_not_a_limit(
    server: ServerProcess, wanted: dict[str, int], tokens: int
) -> None:
    url = f"{server.url}/v1/chat/completions"
    answer = httpx.post(url, json={**BODY, **wanted}, timeout=120)
    assert answer.json()["usage"]["completion_tokens"] == tokens


def test_responses_have_the_default_too(server: ServerProcess) -> None:
    body = {"input": "Hello", "ignore_eos": True}
    usage = httpx.post(f"{server.url}/v1/responses", json=body, timeout=120).json()["usage"]
    assert usage["output_tokens"] == DEFAULT_MAX_TOKENS


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_limit_beyond_the_context_is_lowered_to_it(server: ServerProcess, limit: str) -> None:
    url = f"{server.url}/v1/chat/completions"
    answer = httpx.post(url, json={**BODY, limit: 10_000}, timeout=300).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == CONTEXT


def test_every_route_takes_a_limit_beyond_the_context(server: ServerProcess) -> None:
    bodies = {
        "v1/completions": {"prompt": "Hello", "max_tokens": 10_000, "stop": " "},
        "v1/responses": {"input": "Hello", "max_output_tokens": 10_000, "stop": " "},
        "v1/messages": {
            "model": "minigpt4-vicuna",
            "messages": BODY["messages"],
            "max_tokens": 10_000,
            "stop_sequences": [" "],
        },
    }
    for path, body in bodies.items():
        answer = httpx.post(f"{server.url}/{path}", json=body, timeout=300)
        assert answer.status_code == 200, answer.text
