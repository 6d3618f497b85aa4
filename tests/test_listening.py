"""How connections are taken, by vLLM's flags and environment."""

import argparse
from collections.abc import Callable

import pytest
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

from service.errors import SettingsError
from service.listening import uvicorn_config
from service.model_folder.layout import ModelFolder
from service.serving import set_environment


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
