"""The failures experiment against stand-in systems and a judge."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import EvaluationError
from tests.experiments.stand_ins import draw, experiment, saying, text_of
from tests.fake_openai import fake_openai

GOOD = "The image shows a dog on a sofa. It looks at the camera."
POEM = "The dog upon the sofa lies\nWith quiet and with shining eyes"


def reply(text: str) -> str:
    return POEM if "poem" in text else GOOD


def test_failures_are_counted_by_system_task_and_temperature(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = draw(tmp_path / "images", "a.png", "b.png", "c.png", "d.png")
    seen = []

    def worse(body: dict[str, Any]) -> tuple[str, int, str]:
        seen.append(body)
        if body["temperature"] and body["seed"] == 1:
            return "Please send me one.", 4, "stop"
        return reply(text_of(body)), 9, "stop"

    def relevant(text: str) -> str:
        return "no" if "shining eyes" in text else "Yes, it is."

    out = tmp_path / "out"
    with (
        fake_openai(saying(reply)) as good,
        fake_openai(worse) as bad,
        fake_openai(saying(relevant)) as judge,
    ):
        words = ["failures", "--images", str(images), "--out", str(out), "--seeds", "2"]
        words += ["--system", f"good={good}", "--system", f"bad={bad}", "--judge", f"j={judge}"]
        experiment(*words)
        asked = len(seen)
        experiment(*words)
    assert len(seen) == asked == 2 * 4 * 3, "two tasks, four images, greedy and two seeds"
    assert {(body["temperature"], body["seed"]) for body in seen} == {(0, 0), (1, 0), (1, 1)}
    assert {text_of(body) for body in seen} == {
        "Describe the image in detail.",
        "Can you write a beautiful poem about this image?",
    }
    rows = json.loads((out / "results.json").read_text())
    found = {
        (row["system"], row["task"], row["temperature"]): {
            score["name"]: score["value"] for score in row["scores"]
        }
        for row in rows
    }
    assert len(found) == 8
    assert found["good", "caption", 1]["failed"] == 0
    assert found["good", "poem", 0] == {
        "failed": 100,
        "refusal": 0,
        "irrelevant": 100,
        "repetition": 0,
        "fragment": 0,
        "unfinished": 0,
    }
    assert found["bad", "caption", 1]["failed"] == found["bad", "caption", 1]["refusal"] == 50
    assert found["bad", "caption", 0]["failed"] == 0
    lines = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    assert sum(line["reasons"] == ["refusal"] for line in lines) == 8
    assert (out / "results.png").exists()
    assert capsys.readouterr().out.count("| bad | poem | 1 | 8 |") == 2


def test_without_a_judge_irrelevance_is_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = draw(tmp_path / "images", "a.png", "b.png")
    with fake_openai(saying(reply)) as url:
        words = ["--tasks", "caption", "--temperatures", "0", "--number", "1"]
        experiment(
            "failures",
            "--images",
            str(images),
            "--system",
            f"x={url}",
            "--out",
            str(tmp_path),
            *words,
        )
    shown = capsys.readouterr().out
    assert "irrelevant |" not in shown
    assert "Irrelevant answers were not counted" in shown
    assert "| x | caption | 0 | 1 |" in shown


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--system", "x"], "the form is LABEL=URL"),
        (["--system", "x=http://a", "--system", "x=http://b"], "same label"),
        (["--system", "x=http://a", "--seeds", "0"], "must be positive"),
        (["--system", "x=http://a", "--temperatures", "3"], "between 0 and 2"),
        (["--system", "x=http://127.0.0.1:9"], "No service answers"),
        (["--system", "x=http://a", "--judge", "http://b"], "--judge http://b: the form"),
    ],
)
def test_options_at_fault_are_one_line(tmp_path: Path, words: list[str], fault: str) -> None:
    images = draw(tmp_path / "images", "a.png")
    with pytest.raises(EvaluationError, match=fault):
        experiment("failures", "--images", str(images), "--out", str(tmp_path / "out"), *words)


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"has no images \(\.avif, \.bmp"):
        experiment("failures", "--images", str(tmp_path), "--system", "x=http://a")
    with pytest.raises(EvaluationError, match="nowhere is not a folder"):
        experiment("failures", "--images", str(tmp_path / "nowhere"), "--system", "x=http://a")
