"""The four tasks: two systems, people's sheet, a judge, and their agreement."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import EvaluationError
from service.experiments.agreement import compare
from service.experiments.sheet import order
from tests.experiments.stand_ins import draw, experiment, saying
from tests.fake_openai import fake_openai

TASKS = {
    "memes": "Explain why this meme is funny.",
    "recipes": "How should I make something like this?",
    "advertisements": "Help me draft a professional advertisement for this.",
    "poems": "Can you craft a beautiful poem about this image?",
}


def make(tmp_path: Path) -> Path:
    for task in TASKS:
        draw(tmp_path / "images" / task, "1.png", "2.png")
    return tmp_path / "images"


def test_two_systems_are_judged_by_people_and_by_a_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = make(tmp_path), tmp_path / "out"
    seen: list[dict[str, Any]] = []
    with (
        fake_openai(saying(lambda text: f"Good <b>answer</b> to: {text}", seen)) as one,
        fake_openai(saying(lambda _: "Bad answer.")) as other,
        fake_openai(saying(lambda text: "Yes" if "Good" in text else "No")) as judge,
    ):
        words = ["advanced-tasks", "--images", str(images), "--out", str(out)]
        words += ["--system", f"one={one}", "--system", f"other={other}"]
        experiment(*words)
        assert "Nobody has judged yet" in capsys.readouterr().out
        page = (out / "sheet.html").read_text()
        assert page.count("<fieldset data-answer=") == 16
        assert "Good &lt;b&gt;answer" in page
        assert "other" not in page.partition("<main>")[2].replace("another", "")
        anna, ben = tmp_path / "anna.csv", tmp_path / "ben.csv"
        rows = []
        for task in TASKS:
            for name in ("1.png", "2.png"):
                for at, system in enumerate(order(f"{task}/{name}", ["one", "other"]), 1):
                    said = "yes" if system == "one" and task != "memes" else "no"
                    rows.append(f'"{task}/{name}/{at}","{said}","a, ""b"""')
        head = '"answer","fulfilled","comment"'
        anna.write_text("\r\n".join(["\ufeff" + head, *rows]) + "\r\n", "utf-8")
        ben.write_text("\n".join([head, *rows[:4], '"poems/1.png/1","",""']))
        experiment(*words, "--judge", f"machine={judge}", "--people", str(anna), str(ben))
    assert len(seen) == 8, "the second run asks nothing again"
    found = json.loads((out / "results.json").read_text())
    values = {one["name"]: one["value"] for one in found["scores"]}
    assert values["anna: one, all tasks"] == 75
    assert values["anna: one, memes"] == 0
    assert values["anna: other, all tasks"] == 0
    assert values["machine: one, memes"] == 100
    kappas = {(one["one"], one["other"]): one for one in found["agreements"]}
    assert set(kappas) == {("anna", "ben"), ("anna", "machine"), ("ben", "machine")}
    assert kappas["anna", "machine"]["number"] == 16
    assert kappas["anna", "machine"]["equal"] == 14 / 16
    # Yes to 6 and 8 of 16: chance agreement is a half.
    assert kappas["anna", "machine"]["kappa"]["value"] == pytest.approx(0.75)
    assert kappas["anna", "ben"]["kappa"] is None
    shown = capsys.readouterr().out
    assert "| anna and ben | undefined" in shown


def test_kappa_has_the_textbook_value() -> None:
    # Wikipedia's example of Cohen's kappa: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no.
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    mine = {str(at): pair[0] for at, pair in enumerate(pairs)}
    theirs = {str(at): pair[1] for at, pair in enumerate(pairs)}
    found = compare("a", "b", mine, theirs)
    assert found is not None
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.low < 0.4 < found.kappa.high
    assert compare("a", "b", {"1": True}, {"2": True}) is None


def test_folders_and_csv_files_at_fault_are_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="none of the folders memes, recipes"):
        experiment("advanced-tasks", "--images", str(tmp_path), "--system", "x=http://a")
    images = make(tmp_path)
    wrong = tmp_path / "wrong.csv"
    with fake_openai(saying(lambda _: "Text.")) as url:
        words = ["advanced-tasks", "--images", str(images), "--out", str(tmp_path / "out")]
        words += ["--system", f"x={url}", "--people", str(wrong)]
        for content, fault in [
            ("answer,fulfilled\nmemes/9.png/1,yes\n", "wrong.csv, line 2: an answer of this sheet"),
            ("answer,fulfilled\nmemes/1.png/1,maybe\n", "and 'maybe'"),
            ("answer,fulfilled\nmemes/1.png/1,\n", "wrong.csv has no verdicts"),
            ("hello\n", "wrong.csv has no verdicts"),
        ]:
            wrong.write_text(content)
            with pytest.raises(EvaluationError, match=fault):
                experiment(*words)
        wrong.unlink()
        with pytest.raises(EvaluationError, match=r"wrong.csv cannot be read"):
            experiment(*words)
        (images / "memes" / "1.png").write_text("no image")
        with pytest.raises(EvaluationError, match=r"1.png cannot be read as an image"):
            experiment(*words)
