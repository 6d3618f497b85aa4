"""``instructor``: a model's fields by each of its modes, asynchronous, partial, errors."""

from typing import Any

import pytest

from tests.clients.conftest import RunScript
from tests.clients.example import ANSWER


@pytest.fixture(scope="module")
def got(run_python: RunScript) -> dict[str, Any]:
    return run_python("openai-2/instructor_client.py")


@pytest.mark.parametrize("way", ["tools", "json_schema", "asynchronous"])
def test_extraction(got: dict[str, Any], way: str) -> None:
    assert got[way] == {"background": ANSWER}


def test_partial(got: dict[str, Any]) -> None:
    assert got["partial"][-1] == {"background": ANSWER}


def test_errors(got: dict[str, Any]) -> None:
    assert "404" in got["unknown model"]
    assert "400" in got["bad request"]
