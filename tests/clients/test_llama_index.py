"""LlamaIndex's ``OpenAILike``: chat, streams, asynchronous, structured output, errors."""

from typing import Any

import pytest

from tests.clients.conftest import RunScript
from tests.clients.example import ANSWER


@pytest.fixture(scope="module")
def got(run_python: RunScript) -> dict[str, Any]:
    return run_python("openai-2/llama_index_client.py")


@pytest.mark.parametrize("way", ["chat", "asynchronous"])
def test_answers(got: dict[str, Any], way: str) -> None:
    assert ANSWER in got[way]


def test_stream(got: dict[str, Any]) -> None:
    assert len(got["stream"]) > 3
    assert ANSWER in "".join(got["stream"])


@pytest.mark.parametrize("way", ["structured", "function"])
def test_structured_output(got: dict[str, Any], way: str) -> None:
    assert got[way] == {"background": ANSWER}


def test_errors(got: dict[str, Any]) -> None:
    assert "404" in got["unknown model"]
    assert "400" in got["bad request"]
