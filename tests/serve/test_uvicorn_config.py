"""How connections are taken, by vLLM's flags and environment."""

import argparse
import asyncio
from collections.abc import Callable
from contextlib import nullcontext

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.entrypoints.serve.middleware.register import init_entrypoints_middleware
from vllm.utils.argparse_utils import FlexibleArgumentParser

from service.api.api_keys import GivenKeys
from service.api.app import _without_our_layers
from service.api.backend import Backend, Loaded
from service.api.lifecycle import Lifecycle, State
from service.api.stack import StackOptions, build_stack
from service.errors import SettingsError
from service.model_folder.layout import ModelFolder
from service.serve.environment import set_environment
from service.serve.uvicorn_config import cors_options, given_keys, uvicorn_config
from service.settings import load_settings


async def nothing(scope: object, receive: object, send: object) -> None: ...


def arguments(*flags: str) -> argparse.Namespace:
    return make_arg_parser(FlexibleArgumentParser()).parse_args(list(flags))


@pytest.mark.parametrize(("given", "seconds"), [(None, 75), ("9", 9)])
def test_an_idle_connection_is_kept_for_longer_than_proxies_keep_it(
    given: str | None,
    seconds: int,
    monkeypatch: pytest.MonkeyPatch,
    tiny_model: Callable[[str], ModelFolder],
) -> None:
    environment = {} if given is None else {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": given}
    monkeypatch.setattr("os.environ", {"PYTHONWARNINGS": "default", **environment})
    set_environment(tiny_model("minigpt4-vicuna"))
    assert uvicorn_config(nothing, arguments()).timeout_keep_alive == seconds


def test_ciphers_are_vllms_flag() -> None:
    assert uvicorn_config(nothing, arguments("--ssl-ciphers", "AES256")).ssl_ciphers == "AES256"
    assert uvicorn_config(nothing, arguments()).ssl_ciphers == uvicorn.Config(nothing).ssl_ciphers


@pytest.mark.parametrize(
    "flags",
    [
        ["--ssl-certfile", "/nonexistent.pem"],
        ["--ssl-keyfile", "/nonexistent.pem"],
        ["--ssl-certfile", __file__],
    ],
)
def test_tls_that_cannot_be_set_up_is_refused(flags: list[str]) -> None:
    with pytest.raises(SettingsError, match="ssl-certfile" if "key" in flags[0] else flags[1]):
        uvicorn_config(nothing, arguments(*flags))


ORIGIN = "https://page.example"


def ask(app: ASGIApp, method: str = "GET", **headers: str) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://x"
        ) as http:
            return await http.request(method, "/v1/models", headers={"Origin": ORIGIN, **headers})

    return asyncio.run(run())


def served(*flags: str) -> ASGIApp:
    """The layers in their order, around an application with vLLM's own."""
    app = FastAPI()

    @app.get("/v1/models")
    async def models() -> dict[str, str]:
        return {}

    given = arguments(*flags)
    init_entrypoints_middleware(_without_our_layers(given), app, ())
    backend, lifecycle = Backend(), Lifecycle()
    backend.attach(Loaded(app, lambda: True, lambda: False, lambda: nullcontext(True), lambda: 1))
    lifecycle.state = State.READY
    options = StackOptions(cors=cors_options(given), keys=[GivenKeys(given_keys(given))])
    return build_stack(backend, lifecycle, load_settings(), options)


def test_a_page_of_an_allowed_origin_can_read_a_refusal_too() -> None:
    app = served("--allowed-origins", f'["{ORIGIN}"]', "--api-key", "secret")
    for key, status in (("wrong", 401), ("secret", 200)):
        answer = ask(app, authorization=f"Bearer {key}")
        assert answer.status_code == status
        assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
    preflight = ask(app, "OPTIONS", **{"Access-Control-Request-Method": "GET"})
    assert preflight.status_code == 200


def test_without_allowed_origins_no_page_of_another_can_read_anything() -> None:
    answer = ask(served("--api-key", "secret"), authorization="Bearer secret")
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_vllms_keys_are_asked_for_by_our_layer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "environment")
    assert ask(served(), **{"x-api-key": "environment"}).status_code == 200
    assert given_keys(arguments("--api-key", "a", "b")) == ["a", "b"]
    monkeypatch.delenv("VLLM_API_KEY")
    assert given_keys(arguments()) == []
