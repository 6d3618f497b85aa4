"""Our code around vLLM's validation of request bodies."""

from argparse import Namespace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from vllm.entrypoints.openai.chat_completion import api_router as chat_completions

from service.api.error_handlers import add_error_handlers
from service.errors import RequestError
from service.vllm_patches.body_validation import _wrap, wrap_validation

BROKEN = {"messages": [], "structured_outputs": 3}
"""vLLM's validator asks a number for its attributes."""


def application(patched: bool) -> TestClient:
    app = FastAPI()
    app.state.args = Namespace(log_error_stack=False)
    chat_completions.attach_router(app)
    if patched:
        wrap_validation(app, lambda path, body: body, lambda request: None)
    add_error_handlers(app)
    return TestClient(app, raise_server_exceptions=False)


def test_vllms_chat_route_refuses_a_broken_body() -> None:
    assert application(patched=True).post("/v1/chat/completions", json=BROKEN).status_code == 400


def test_vllm_still_needs_the_patch() -> None:
    assert application(patched=False).post("/v1/chat/completions", json=BROKEN).status_code == 500


def wrapped(validate: Any, finished: list[Any]) -> Any:
    return _wrap(validate, "/path", lambda path, body: f"{path} {body}", finished.append)


def test_the_body_is_prepared_and_the_request_finished() -> None:
    finished: list[Any] = []
    assert wrapped(lambda value: (value, []), finished)("body") == ("/path body", [])
    assert finished == ["/path body"]


def test_a_request_with_errors_is_not_finished() -> None:
    finished: list[Any] = []
    assert wrapped(lambda value: (None, ["wrong"]), finished)("body") == (None, ["wrong"])
    assert finished == []


@pytest.mark.parametrize("error", [AttributeError, KeyError, RecursionError, TypeError])
def test_a_validator_that_fails_refuses(error: type[Exception]) -> None:
    def validate(_: object) -> None:
        raise error

    with pytest.raises(RequestError):
        wrapped(validate, [])("body")


def test_a_validator_that_refuses_is_heard() -> None:
    def validate(_: object) -> None:
        raise ValueError("too long")

    with pytest.raises(ValueError, match="too long"):
        wrapped(validate, [])("body")
