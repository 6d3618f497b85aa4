"""A run that is killed goes on; answers and settings are checked before anything is asked."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from service.errors import EvaluationError
from service.measurement.answers import Answer, AnswerFile
from tests.evaluation.benchmarks.asked import evaluate, knowing, make, values
from tests.fake_openai import fake_openai


def test_a_run_that_is_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data, out = make("mme", tmp_path / "data"), tmp_path / "out"
    asked: list[str] = []
    known, hold = knowing(data, asked), threading.Event()

    def slow(body: dict[str, Any]) -> tuple[str, int, str]:
        if len(asked) >= 20 and not hold.is_set():
            hold.wait(30)
        return known(body)

    line = [sys.executable, "-m", "service", "evaluate", "--benchmark", "mme"]
    line += ["--data", str(data.folder), "--out", str(out), "--concurrency", "2"]
    with fake_openai(slow) as url:
        process = subprocess.Popen([*line, "--url", url], stderr=subprocess.DEVNULL)
        file, deadline = out / "answers.jsonl", time.monotonic() + 60
        while not file.exists() or file.read_bytes().count(b"\n") < 15:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
        hold.set()
        kept = file.read_bytes()
        with file.open("ab") as half:
            half.write(b'{"id": "OCR/1/2", "te')
        asked.clear()
        results = evaluate(url, "mme", data.folder, out)
    assert file.read_bytes().startswith(kept)
    answered = kept.count(b"\n") - 1
    assert 14 <= answered < 56
    assert len(asked) == 56 - answered
    assert values(results)["perception"] == pytest.approx(1250)
    ids = [json.loads(one)["id"] for one in file.read_text().splitlines()[1:]]
    assert len(ids) == len(set(ids)) == 56


def test_other_settings_and_a_second_writer_are_refused(tmp_path: Path) -> None:
    data, out = make("vsr", tmp_path / "data"), tmp_path / "out"
    with fake_openai(knowing(data)) as url:
        evaluate(url, "vsr", data.folder, out)
        with pytest.raises(EvaluationError, match=r"prompt '\[vqa\].*this run has 'Is it so"):
            evaluate(url, "vsr", data.folder, out, "--prompt", "Is it so? {}")
        with AnswerFile(tmp_path / "open", {}), pytest.raises(EvaluationError, match="Another"):
            AnswerFile(tmp_path / "open", {})
    (tmp_path / "text").write_text("Hello.\n")
    with pytest.raises(EvaluationError, match=r"text is not a file of answers"):
        AnswerFile(tmp_path / "text", {})


def test_a_file_keeps_answers_of_any_text(tmp_path: Path) -> None:
    answer = Answer("1", 'Line one\nline "two" \u2028 \u00fc', truncated=True, tokens=3)
    with AnswerFile(tmp_path / "file", {"a": (1, 2)}) as file:
        file.add(answer)
    with AnswerFile(tmp_path / "file", {"a": (1, 2)}) as file:
        assert file.answers == {"1": answer}
