"""The Vercel AI SDK from npm: answers, streams, structured output, errors."""

from typing import Any

import pytest

from tests.clients.conftest import RunScript
from tests.clients.example import ANSWER


@pytest.fixture(scope="module")
def got(run_node: RunScript) -> dict[str, Any]:
    return run_node("ai.mjs")


def test_answer(got: dict[str, Any]) -> None:
    assert ANSWER in got["chat"]
    assert got["finish reason"] == "stop"


def test_stream(got: dict[str, Any]) -> None:
    assert len(got["stream"]["pieces"]) > 1
    assert ANSWER in "".join(got["stream"]["pieces"])
    assert got["stream"]["tokens"] > 0


def test_structured_output(got: dict[str, Any]) -> None:
    assert got["structured"] == {"background": ANSWER}


def test_errors(got: dict[str, Any]) -> None:
    assert got["unknown model"]["status"] == 404
    assert "gpt-4o" in got["unknown model"]["message"]
    assert got["bad request"]["status"] == 400
