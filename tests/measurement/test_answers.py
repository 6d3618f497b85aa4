"""The file of a run's answers."""

import os
from pathlib import Path

import pytest

from service.captioning.caption_file import CaptionFile
from service.errors import CaptioningError, EvaluationError
from service.measurement.answers import Answer, AnswerFile


@pytest.mark.parametrize(
    ("open_file", "error"),
    [
        (lambda path: AnswerFile(path, {}), EvaluationError),
        (lambda path: CaptionFile(path, "digest"), CaptioningError),
    ],
)
def test_a_line_that_the_disk_cannot_hold_is_not_left_in_the_file(
    open_file: object, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines.jsonl"
    with open_file(path) as file:  # type: ignore[operator]
        before = path.read_bytes()
        whole = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:3]))
        with pytest.raises(error, match="disk is full"):
            file.add(Answer("1", "a cat", False, 2, "digest"))
    assert path.read_bytes() == before
