"""``litellm``: both providers, streams, asynchronous, structured output, errors."""

from typing import Any

import pytest

from tests.clients.conftest import RunScript
from tests.clients.example import ANSWER


@pytest.fixture(scope="module")
def got(run_python: RunScript) -> dict[str, Any]:
    return run_python("openai-2/litellm_client.py")


@pytest.mark.parametrize("way", ["chat", "hosted_vllm", "asynchronous"])
def test_answers(got: dict[str, Any], way: str) -> None:
    assert ANSWER in got[way]


def test_stream(got: dict[str, Any]) -> None:
    assert len(got["stream"]) > 3
    assert ANSWER in "".join(got["stream"])


@pytest.mark.parametrize("way", ["structured", "function"])
def test_structured_output(got: dict[str, Any], way: str) -> None:
    assert got[way] == {"background": ANSWER}


def test_errors(got: dict[str, Any]) -> None:
    assert got["unknown model"] == "NotFoundError"
    assert got["bad request"] == "BadRequestError"
