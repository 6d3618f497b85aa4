"""On a machine without a compiler, the first request of each kind must not end the engine."""

from typing import Any

import httpx
import pytest

from tests.server import ServerProcess

SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}
KINDS: list[dict[str, Any]] = [
    {"logprobs": True},
    {"logprobs": True, "top_logprobs": 5},
    {"prompt_logprobs": 2},
    {"temperature": 0},
    {"temperature": 1, "top_p": 0.5},
    {"temperature": 1, "top_k": 5},
    {"temperature": 1, "top_k": 5, "top_p": 0.5, "logprobs": True},
    {"temperature": 1, "min_p": 0.1},
    {"temperature": 1, "seed": 1},
    {"temperature": 1, "n": 3},
    {"presence_penalty": 1, "frequency_penalty": 1, "repetition_penalty": 1.3},
    {"logit_bias": {"5": 10}},
    {"bad_words": ["a"]},
    {"allowed_token_ids": [5, 6, 7]},
    {"min_tokens": 3},
    {"stop": ["a"], "include_stop_str_in_output": True},
    {"use_beam_search": True, "n": 2},
    {"structured_outputs": {"regex": "a{3}"}},
    {"structured_outputs": {"choice": ["yes", "no"]}},
    {"structured_outputs": {"grammar": 'root ::= "a" | "b"'}},
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_kind_of_request_is_served_at_its_first_use(
    server: ServerProcess, kind: dict[str, Any]
) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, **kind}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    assert httpx.get(f"{server.url}/health").status_code == 200
