"""One sentence for a client from pydantic's list of errors."""

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

from service.plugin.validation_messages import describe


def user(content: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def validate(body: object) -> None:
    """As the route and vLLM's parser do: content parts are only validated while they are read."""
    request = ChatCompletionRequest.model_validate(body)
    for message in request.messages:
        content = message.get("content")
        if content is not None and not isinstance(content, str):
            list(content)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (user(None), "`messages.0.content` must be a string or a list."),
        (user(5), "`messages.0.content` must be a string or a list."),
        ({}, "`messages` is required."),
        ({"messages": "x"}, "`messages` must be a list."),
        ({"messages": [{"content": "x"}]}, "`messages.0.role` is required."),
        ({"messages": [], "temperature": "hot"}, "`temperature` must be a number."),
        ({"messages": [], "stop": 5}, "`stop` must be a string or a list."),
        ([], "The body must be an object."),
    ],
    ids=str,
)
def test_the_parameter_is_named(body: object, message: str) -> None:
    with pytest.raises(ValidationError) as error:
        validate(body)
    assert describe(error.value.errors())[0] == message


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "text"}, "`content.0.text` is required."),
        ({"type": "text", "text": 5}, "`content.0.text` must be a string."),
        (
            {"type": "image_url", "image_url": {"url": "x", "detail": "ultra"}},
            "`content.0.image_url.detail` must be 'auto', 'low', 'high' or 'original'.",
        ),
    ],
    ids=str,
)
def test_a_content_part_is_named(part: object, message: str) -> None:
    with pytest.raises(ValidationError) as error:
        validate(user([part]))
    assert describe(error.value.errors(), "content") == (message, message.split("`")[1])


def test_broken_json_is_called_so() -> None:
    error = RequestValidationError([{"type": "json_invalid", "loc": ("body", 1), "msg": "x"}])
    assert describe(error.errors()) == ("The body is not valid JSON.", None)
