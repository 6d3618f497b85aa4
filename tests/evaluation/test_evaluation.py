"""A whole evaluation over real HTTP against a stand-in service."""

import argparse
import base64
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.errors import EvaluationError
from service.evaluation.client import ask_all
from service.evaluation.command import add_arguments, run
from service.evaluation.figures import Figures
from service.evaluation.questions import KINDS, Question, learnt_from, questions
from service.evaluation.report import bars, table
from service.scenes.scene import draw_scene, rng_for
from tests.fake_openai import Answerer, fake_openai, web_site


def knowing(asked: Sequence[Question]) -> Answerer:
    """An answerer that knows the answers of these questions by their text and first image."""
    known = {}
    for item in asked:
        key = (item.turn.question, item.images[0])
        known[key] = item.turn.answer

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        *pictures, text = body["messages"][0]["content"]
        image = base64.b64decode(pictures[0]["image_url"]["url"].split(",")[1])
        return known[text["text"], image], 5, "stop"

    return answer


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("kind", KINDS)
def test_questions_are_reproducible_and_differ_between_sets(kind: str) -> None:
    held_out = questions("held-out", kind, 3)
    assert held_out == questions("held-out", kind, 4)[:3]
    assert {item.turn.kind for item in held_out} == {kind}
    assert {len(item.images) for item in held_out} == {2 if kind == "compare" else 1}
    image = Image.open(io.BytesIO(held_out[0].images[0]))
    assert image.size == (224, 224)
    assert questions("shifted", kind, 1)[0].images != held_out[0].images


@pytest.mark.parametrize("kind", ["colour", "compare", "describe"])
def test_no_scene_is_one_that_alignment_learnt_from(kind: str) -> None:
    rng = rng_for("captions", 11_999)
    assert draw_scene(rng) in learnt_from()
    # One question in twenty would be about such a scene.
    for item in questions("held-out", kind, 150):
        assert learnt_from().isdisjoint(item.scenes)


def test_unknown_sets_and_kinds_are_named() -> None:
    with pytest.raises(EvaluationError, match="held-out"):
        questions("other", "colour", 1)
    with pytest.raises(EvaluationError, match="colour"):
        questions("held-out", "other", 1)


def test_yes_no_questions_are_balanced() -> None:
    expected = [item.turn.expected for item in questions("held-out", "exists", 200)]
    assert 80 < expected.count("yes") < 120


def test_a_service_that_knows_everything_scores_full_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["colour", "count", "exists"]
    asked = [item for kind in kinds for item in questions("held-out", kind, 12)]
    out = tmp_path / "figures.json"
    with fake_openai(knowing(asked)) as url:
        run(parsed("--url", url, "--questions", "12", "--kinds", *kinds, "--out", str(out)))
    figures = Figures.load(out)
    assert figures.accuracy == {"colour": 1.0, "count": 1.0, "exists": 1.0}
    assert figures.yes_share is not None
    assert 0.1 < figures.yes_share < 0.9
    assert figures.errors == 0
    shown = capsys.readouterr().out
    assert "| colour | 100.0 |" in shown
    assert "| hallucinated objects |  |" in shown, "nobody asked for a description"


def test_figures_are_kept_after_each_kind(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    known = knowing(questions("held-out", "colour", 4))

    def until_it_dies(body: dict[str, Any]) -> tuple[str, int, str]:
        try:
            return known(body)
        except KeyError:
            raise ValueError("died") from None

    with fake_openai(until_it_dies) as url, pytest.raises(EvaluationError):
        run(
            parsed("--url", url, "--questions", "4", "--kinds", "colour", "size", "--out", str(out))
        )
    assert Figures.load(out).accuracy == {"colour": 1.0}


def test_a_service_that_babbles_fails(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    babble = "There is a red star on the left. " * 4
    with fake_openai(lambda body: (babble, 300, "length")) as url:
        kinds = ["describe", "poem", "colour"]
        run(parsed("--url", url, "--questions", "6", "--kinds", *kinds, "--out", str(out)))
    figures = Figures.load(out)
    assert figures.failures["describe"] == {
        "repeated": 1.0,
        "fragment": 0.0,
        "unfinished": 1.0,
        "any": 1.0,
    }
    assert figures.hallucinated is not None
    assert figures.hallucinated > 0.5
    assert figures.accuracy["colour"] < 0.5


def test_failed_requests_count_as_wrong_and_all_failing_is_an_error() -> None:
    items = questions("held-out", "colour", 4)
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


def test_turns_before_are_asked_in_the_same_conversation_and_only_the_last_is_judged(
    tmp_path: Path,
) -> None:
    alone = questions("held-out", "colour", 3)
    later = questions("held-out", "colour", 3, turns_before=2)
    assert [dataclasses.replace(item, before=()) for item in later] == alone
    expected = {item.turn.question: item.turn.answer for item in later}
    seen, out = [], tmp_path / "figures.json"

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        seen.append(body["messages"])
        question = body["messages"][-1]["content"][-1]["text"]
        last = len(body["messages"]) == 5
        return expected[question] if last else "Of no use.", 3, "stop"

    with fake_openai(answer) as url:
        words = ["--kinds", "colour", "--questions", "3", "--concurrency", "1"]
        run(parsed("--url", url, "--turns-before", "2", *words, "--out", str(out)))
    assert Figures.load(out).accuracy == {"colour": 1.0}
    assert [len(messages) for messages in seen] == [1, 3, 5] * 3
    asked, reply, *_ = seen[2]
    assert [part["type"] for part in asked["content"]] == ["image_url", "text"]
    assert reply == {"role": "assistant", "content": "Of no use."}
    texts = [message["content"][-1] for message in seen[2] if message["role"] == "user"]
    said = [text["text"] for text in texts]
    assert said == [*later[0].before, later[0].turn.question]
    assert table([Figures.load(out)]).startswith("|  | model, held-out, after 2 turns |")


def test_sampling_is_seeded_by_question_and_named_in_the_report(tmp_path: Path) -> None:
    seen, out = [], tmp_path / "figures.json"

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        seen.append((body["temperature"], body["seed"]))
        return "A poem.", 3, "stop"

    with fake_openai(answer) as url:
        words = ["--kinds", "poem", "--questions", "3", "--concurrency", "1"]
        run(parsed("--url", url, "--temperature", "1", *words, "--out", str(out)))
        with pytest.raises(EvaluationError, match="--temperature"):
            run(parsed("--url", url, "--temperature", "-1", *words))
    assert seen == [(1.0, 0), (1.0, 1), (1.0, 2)]
    assert table([Figures.load(out)]).startswith("|  | model, held-out, temperature 1 |")


@pytest.mark.parametrize("kind", KINDS)
def test_turns_before_are_of_other_kinds_where_there_are_any(kind: str) -> None:
    for item in questions("held-out", kind, 3, turns_before=20):
        assert len(item.before) == 20
        assert kind == "compare" or item.turn.question not in item.before


def test_an_unreachable_service_is_one_clear_error() -> None:
    with pytest.raises(EvaluationError, match="No service answers"):
        ask_all("http://127.0.0.1:9", questions("held-out", "colour", 1))


def test_a_web_site_is_one_clear_error() -> None:
    with (
        web_site() as url,
        pytest.raises(EvaluationError, match=f"^{url}/v1 is not an OpenAI-compatible API.*$"),
    ):
        ask_all(url, questions("held-out", "colour", 1))


def test_reports_put_models_side_by_side(tmp_path: Path) -> None:
    first = Figures("stage 1", "held-out", {"colour": 4}, {"colour": 0.5}, 0.75)
    second = Figures("stage 2", "shifted", {"colour": 4}, {"colour": 1.0}, 0.5)
    first.save(tmp_path / "a.json")
    second.save(tmp_path / "b.json")
    run(
        parsed(
            "--report", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--docs", str(tmp_path)
        )
    )
    text = (tmp_path / "evaluation-table.md").read_text()
    assert text == table([first, second])
    assert "| colour | 50.0 | 100.0 |" in text
    assert (tmp_path / "evaluation.png").read_bytes() == bars([first, second])
    worse = dataclasses.replace(second, questions={"describe": 4}, hallucinated=0.25)
    better = dataclasses.replace(worse, hallucinated=0.0)
    assert bars([first, worse]) != bars([first, better])
    unasked = dataclasses.replace(first, accuracy={}, yes_share=None)
    assert "| colour |  | 100.0 |" in table([unasked, second])
    none_right = dataclasses.replace(first, accuracy={"colour": 0.0})
    assert bars([unasked, second]) != bars([none_right, second])
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(EvaluationError, match=r"c.json"):
        run(parsed("--report", str(tmp_path / "c.json")))
