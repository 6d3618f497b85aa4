"""``evaluate`` on scenes, over real HTTP with a stand-in service."""

import base64
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.errors import EvaluationError
from service.evaluation.command import run
from service.evaluation.questions import Question, make_questions
from service.evaluation.report import format_table
from service.evaluation.results import SceneResults
from tests.evaluation.command_line import parse
from tests.fake_openai import Answerer, fake_openai


def answer_correctly(questions: Sequence[Question]) -> Answerer:
    """Make a service that answers these questions correctly, by text and first image."""
    known = {}
    for item in questions:
        key = (item.turn.question, item.images[0])
        known[key] = item.turn.answer

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        *pictures, text = body["messages"][0]["content"]
        image = base64.b64decode(pictures[0]["image_url"]["url"].split(",")[1])
        return known[text["text"], image], 5, "stop"

    return answer


def test_correct_answers_get_full_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = ["colour", "count", "exists"]
    asked = [item for kind in kinds for item in make_questions("held-out", kind, 12)]
    out = tmp_path / "results.json"
    with fake_openai(answer_correctly(asked)) as url:
        run(parse("--url", url, "--questions", "12", "--kinds", *kinds, "--out", str(out)))
    results = SceneResults.load(out)
    assert results.accuracy == {"colour": 1.0, "count": 1.0, "exists": 1.0}
    assert results.yes_share is not None
    assert 0.1 < results.yes_share < 0.9
    assert results.errors == 0
    shown = capsys.readouterr().out
    assert "| colour | 100.0 |" in shown
    assert "| hallucinated objects |  |" in shown, "no description was asked for"


def test_results_are_saved_after_each_kind(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    known = answer_correctly(make_questions("held-out", "colour", 4))

    def die_after_one_kind(body: dict[str, Any]) -> tuple[str, int, str]:
        try:
            return known(body)
        except KeyError:
            raise ValueError("died") from None

    with fake_openai(die_after_one_kind) as url, pytest.raises(EvaluationError):
        run(parse("--url", url, "--questions", "4", "--kinds", "colour", "size", "--out", str(out)))
    assert SceneResults.load(out).accuracy == {"colour": 1.0}


def test_repeated_and_truncated_texts_fail(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    babble = "There is a red star on the left. " * 4
    with fake_openai(lambda body: (babble, 300, "length")) as url:
        kinds = ["describe", "poem", "colour"]
        run(parse("--url", url, "--questions", "6", "--kinds", *kinds, "--out", str(out)))
    results = SceneResults.load(out)
    assert results.failures["describe"] == {
        "repeated": 1.0,
        "fragment": 0.0,
        "unfinished": 1.0,
        "any": 1.0,
    }
    assert results.hallucinated is not None
    assert results.hallucinated > 0.5
    assert results.accuracy["colour"] < 0.5


def test_earlier_turns_are_in_the_same_conversation_and_not_checked(
    tmp_path: Path,
) -> None:
    alone = make_questions("held-out", "colour", 3)
    later = make_questions("held-out", "colour", 3, turns_before=2)
    assert [dataclasses.replace(item, before=()) for item in later] == alone
    expected = {item.turn.question: item.turn.answer for item in later}
    seen, out = [], tmp_path / "results.json"

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        seen.append(body["messages"])
        question = body["messages"][-1]["content"][-1]["text"]
        last = len(body["messages"]) == 5
        return expected[question] if last else "Not useful.", 3, "stop"

    with fake_openai(answer) as url:
        words = ["--kinds", "colour", "--questions", "3", "--concurrency", "1"]
        run(parse("--url", url, "--turns-before", "2", *words, "--out", str(out)))
    assert SceneResults.load(out).accuracy == {"colour": 1.0}
    assert [len(messages) for messages in seen] == [1, 3, 5] * 3
    asked, reply, *_ = seen[2]
    assert [part["type"] for part in asked["content"]] == ["image_url", "text"]
    assert reply == {"role": "assistant", "content": "Not useful."}
    texts = [message["content"][-1] for message in seen[2] if message["role"] == "user"]
    said = [text["text"] for text in texts]
    assert said == [*later[0].before, later[0].turn.question]
    assert format_table([SceneResults.load(out)]).startswith(
        "|  | model, held-out, after 2 turns |"
    )


def test_sampling_has_a_seed_for_each_question_and_is_in_the_report(tmp_path: Path) -> None:
    seen, out = [], tmp_path / "results.json"

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        seen.append((body["temperature"], body["seed"]))
        return "A poem.", 3, "stop"

    with fake_openai(answer) as url:
        words = ["--kinds", "poem", "--questions", "3", "--concurrency", "1"]
        run(parse("--url", url, "--temperature", "1", *words, "--out", str(out)))
        with pytest.raises(EvaluationError, match="--temperature"):
            run(parse("--url", url, "--temperature", "-1", *words))
    assert seen == [(1.0, 0), (1.0, 1), (1.0, 2)]
    assert format_table([SceneResults.load(out)]).startswith(
        "|  | model, held-out, temperature 1 |"
    )
