"""Questions to a service over real HTTP."""

from typing import Any

import pytest

from service.errors import EvaluationError
from service.evaluation.asking import ask_all
from service.evaluation.questions import make_questions
from tests.fake_openai import fake_openai, web_site


def test_some_requests_may_fail_but_not_all() -> None:
    items = make_questions("held-out", "colour", 4)
    seen = []

    def sometimes(body: dict[str, Any]) -> tuple[str, int, str]:
        seen.append(body)
        if len(seen) > 2:
            raise ValueError("refused")
        return "It is red.", 4, "stop"

    with fake_openai(sometimes) as url:
        answers = ask_all(url, items, concurrency=1)
    assert [bool(answer.error) for answer in answers] == [False, False, True, True]
    assert seen[0]["temperature"] == 0

    def never(body: dict[str, Any]) -> tuple[str, int, str]:
        raise ValueError("refused")

    with fake_openai(never) as url, pytest.raises(EvaluationError, match="refused"):
        ask_all(url, items)


def test_an_unreachable_service_is_named() -> None:
    with pytest.raises(EvaluationError, match="No service answers"):
        ask_all("http://127.0.0.1:9", make_questions("held-out", "colour", 1))


def test_a_web_site_is_named() -> None:
    with (
        web_site() as url,
        pytest.raises(EvaluationError, match=f"^{url}/v1 is not an OpenAI-compatible API.*$"),
    ):
        ask_all(url, make_questions("held-out", "colour", 1))
