"""``openai`` from npm: chat, streams, parsed answers, responses, files, errors."""

from typing import Any

import pytest

from tests.clients.conftest import RunScript
from tests.clients.example import ANSWER


@pytest.fixture(scope="module")
def got(run_node: RunScript) -> dict[str, Any]:
    return run_node("openai.mjs")


@pytest.mark.parametrize("way", ["chat", "responses"])
def test_answers(got: dict[str, Any], way: str) -> None:
    assert ANSWER in got[way]


@pytest.mark.parametrize("way", ["stream", "responses stream"])
def test_streams(got: dict[str, Any], way: str) -> None:
    assert len(got[way]) > 3
    assert ANSWER in "".join(got[way])


def test_structured_output(got: dict[str, Any]) -> None:
    assert got["structured"] == {"background": ANSWER}


def test_files(got: dict[str, Any]) -> None:
    assert ANSWER in got["files"]["answer"]
    assert got["files"]["deleted"] is True


def test_errors(got: dict[str, Any]) -> None:
    assert got["unknown model"]["name"] == "NotFoundError"
    assert got["bad request"]["name"] == "BadRequestError"
    assert "temperature" in got["bad request"]["message"]
