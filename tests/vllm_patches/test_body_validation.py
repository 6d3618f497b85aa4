"""A body that vLLM's validators fail on is a bad request."""

import asyncio
from argparse import Namespace

import httpx
import pytest
from fastapi import FastAPI
from vllm.entrypoints.openai.chat_completion import api_router as chat_completions

from service.api.error_handlers import add_error_handlers
from service.errors import RequestError
from service.vllm_patches.body_validation import raise_request_error, refuse_broken_bodies

BROKEN = {"messages": [], "structured_outputs": 3}
"""vLLM's validator asks a number for its attributes."""


@pytest.mark.parametrize("error", [AttributeError, KeyError, RecursionError, TypeError])
def test_a_validator_that_fails_refuses(error: type[Exception]) -> None:
    def validate() -> None:
        raise error

    with pytest.raises(RequestError):
        raise_request_error(validate)()


def test_a_validator_that_refuses_is_heard() -> None:
    def validate() -> None:
        raise ValueError("too long")

    with pytest.raises(ValueError, match="too long"):
        raise_request_error(validate)()


def post(app: FastAPI, body: object) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            return await http.post("/v1/chat/completions", json=body)

    return asyncio.run(run())


def application(patched: bool) -> FastAPI:
    app = FastAPI()
    app.state.args = Namespace(log_error_stack=False)
    chat_completions.attach_router(app)
    if patched:
        refuse_broken_bodies(app)
    add_error_handlers(app)
    return app


def test_vllms_chat_route_refuses_a_broken_body() -> None:
    assert post(application(patched=True), BROKEN).status_code == 400


def test_vllm_still_needs_the_patch() -> None:
    assert post(application(patched=False), BROKEN).status_code == 500
