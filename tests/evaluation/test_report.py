"""The report that compares several results."""

import dataclasses
from pathlib import Path

import pytest

from service.errors import EvaluationError
from service.evaluation.command import run
from service.evaluation.report import draw_report, format_table
from service.evaluation.results import SceneResults
from tests.evaluation.command_line import parse


def test_a_report_compares_models(tmp_path: Path) -> None:
    first = SceneResults("stage 1", "held-out", {"colour": 4}, {"colour": 0.5}, 0.75)
    second = SceneResults("stage 2", "shifted", {"colour": 4}, {"colour": 1.0}, 0.5)
    first.save(tmp_path / "a.json")
    second.save(tmp_path / "b.json")
    run(
        parse(
            "--report", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--docs", str(tmp_path)
        )
    )
    text = (tmp_path / "evaluation-table.md").read_text()
    assert text == format_table([first, second])
    assert "| colour | 50.0 | 100.0 |" in text
    assert (tmp_path / "evaluation.png").read_bytes() == draw_report([first, second])
    worse = dataclasses.replace(second, questions={"describe": 4}, hallucinated=0.25)
    better = dataclasses.replace(worse, hallucinated=0.0)
    assert draw_report([first, worse]) != draw_report([first, better])
    not_asked = dataclasses.replace(first, accuracy={}, yes_share=None)
    assert "| colour |  | 100.0 |" in format_table([not_asked, second])
    none_correct = dataclasses.replace(first, accuracy={"colour": 0.0})
    assert draw_report([not_asked, second]) != draw_report([none_correct, second])
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(EvaluationError, match=r"c.json"):
        run(parse("--report", str(tmp_path / "c.json")))
