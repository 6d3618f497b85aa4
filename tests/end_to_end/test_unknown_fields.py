"""Fields that the service does not know are ignored: on every route, at every depth."""

from typing import Any

import httpx
import pytest

from tests.pictures import encoded, picture, picture_uri
from tests.server import ServerProcess

UNKNOWN = {"a_field_of_next_year": {"x": 1}}
URI = picture_uri("red")
SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}
FUNCTION = {"name": "describe", "parameters": SCHEMA}

TEXT = {"type": "text", "text": "What is this?"}
CHAT = {
    "messages": [
        {"role": "system", "content": "Look."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": URI}}, TEXT]},
        {"role": "assistant", "content": [{"type": "text", "text": "A square."}]},
        {"role": "user", "content": "Sure?"},
    ],
    "max_tokens": 4,
}
PARSED = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
ITEM = {
    "role": "user",
    "content": [
        {"type": "input_image", "image_url": URI},
        {"type": "input_text", "text": "What is this?"},
    ],
}
CLAUDE = {
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "image",
                    "source": {
                        "type": "base64",
                        "media_type": "image/png",
                        "data": URI.partition(",")[2],
                    },
                },
                TEXT,
            ],
        }
    ],
    "model": "minigpt4-vicuna",
}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", {**CHAT, "response_format": PARSED}),
    ("/v1/chat/completions", {**CHAT, "stream": True, "stream_options": {"include_usage": True}}),
    (
        "/v1/chat/completions",
        {
            **CHAT,
            "tools": [{"type": "function", "function": FUNCTION}],
            "tool_choice": {"type": "function", "function": {"name": "describe"}},
        },
    ),
    ("/v1/responses", {"input": [ITEM], "max_output_tokens": 4}),
    (
        "/v1/responses",
        {
            "input": [ITEM],
            "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
        },
    ),
    (
        "/v1/responses",
        {
            "input": [ITEM],
            "tools": [{"type": "function", **FUNCTION}],
            "tool_choice": {"type": "function", "name": "describe"},
        },
    ),
    ("/v1/messages", {**CLAUDE, "max_tokens": 4}),
    (
        "/v1/messages",
        {
            **CLAUDE,
            "max_tokens": 40,
            "tools": [{"name": "describe", "input_schema": SCHEMA}],
            "tool_choice": {"type": "tool", "name": "describe"},
        },
    ),
    ("/v1/messages/count_tokens", CLAUDE),
    ("/v1/completions", {"prompt": "Hello", "max_tokens": 4}),
    ("/tokenize", {"prompt": "Hello"}),
    ("/tokenize", CHAT),
    ("/detokenize", {"tokens": [5, 6]}),
    ("/v1/image_embeddings", {"input": [{"type": "image_url", "image_url": {"url": URI}}]}),
]


def with_unknown_fields(value: Any) -> Any:
    """``value`` with an unknown field in each object, except in JSON schemas."""
    if isinstance(value, list):
        return [with_unknown_fields(item) for item in value]
    if isinstance(value, dict) and value is not SCHEMA:
        return {name: with_unknown_fields(item) for name, item in value.items()} | UNKNOWN
    return value


@pytest.mark.parametrize(("path", "body"), BODIES, ids=lambda value: str(value)[:60])
def test_unknown_fields_are_ignored(server: ServerProcess, path: str, body: Any) -> None:
    for sent in (body, with_unknown_fields(body)):
        answer = httpx.post(server.url + path, json=sent, timeout=60)
        assert answer.status_code == 200, answer.text


def test_unknown_fields_of_a_form_are_ignored(server: ServerProcess) -> None:
    form = {"purpose": "vision", "a_field_of_next_year": "1"}
    answer = httpx.post(f"{server.url}/v1/files", data=form, files={"file": encoded(picture())})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["/v1/models", "/v1/files", "/health", "/version"])
def test_unknown_parameters_of_a_query_are_ignored(server: ServerProcess, path: str) -> None:
    answer = httpx.get(server.url + path, params={"a_parameter_of_next_year": 1})
    assert answer.status_code == 200, answer.text
