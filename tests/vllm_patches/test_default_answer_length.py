"""The default answer length reaches all of vLLM's handlers and caps no request."""

import httpx
import pytest

from service.families import DEFAULT_MAX_TOKENS
from tests.server import ServerProcess

BODY = {"ignore_eos": True, "messages": [{"role": "user", "content": "Hello"}]}


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
