"""``pydantic-ai``: answers, streams, output types in all modes, conversations, errors."""

from typing import Any

import pytest

from tests.clients.conftest import RunScript
from tests.clients.example import ANSWER

ROUTES = pytest.mark.parametrize("route", ["chat", "responses"])


@pytest.fixture(scope="module")
def got(run_python: RunScript) -> dict[str, Any]:
    return run_python("openai-3/pydantic_ai_client.py")


@ROUTES
@pytest.mark.parametrize("way", ["answer", "conversation"])
def test_answers(got: dict[str, Any], route: str, way: str) -> None:
    assert ANSWER in got[route][way]


@ROUTES
def test_stream(got: dict[str, Any], route: str) -> None:
    pieces = got[route]["stream"]
    assert len(pieces) > 1
    assert ANSWER in "".join(pieces)


@ROUTES
@pytest.mark.parametrize("output", ["native", "tool", "default"])
def test_output_type(got: dict[str, Any], route: str, output: str) -> None:
    assert got[route][output] == {"background": ANSWER}


def test_errors(got: dict[str, Any]) -> None:
    assert got["unknown model"] == 404
    assert got["bad request"] == 400
