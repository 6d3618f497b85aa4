"""The answers of a run, one JSON object a line, added as they come.

A process that is killed loses at most the line that it was writing: the next run drops that line,
keeps the others and asks only for the rest.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from service.errors import EvaluationError


@dataclass(frozen=True)
class Answer:
    """An answer of the service.

    Attributes:
        id: The item that it answers.
        text: Without white space around it.
        truncated: Whether it ended at the longest length allowed.
        tokens: Its length by the service's own count; 0 if the service gives none.
        asked: Digest of the prompt. An answer to another prompt does not count.
    """

    id: str
    text: str
    truncated: bool = False
    tokens: int = 0
    asked: str = ""


class AnswerFile:
    """An append-only file of answers. The first line holds the settings of the run.

    Args:
        path: The file; its folder is created.
        settings: What all answers must have in common, such as the model and the prompt.

    Raises:
        EvaluationError: the file belongs to another run, or another process is writing it.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.answers: dict[str, Answer] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise EvaluationError(f"Another process is writing {path}.") from error
        try:
            self._load(settings)
        except EvaluationError:
            self._file.close()
            raise

    def _load(self, settings: dict[str, Any]) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines() or content.splitlines()
        if not lines:
            self._write({"settings": settings})
            return
        try:
            written = json.loads(lines[0])["settings"]
            answers = [Answer(**json.loads(line)) for line in lines[1:]]
        except (ValueError, TypeError, KeyError) as error:
            raise EvaluationError(f"{self.path} is not a file of answers: {error}.") from error
        self._compare(written, json.loads(json.dumps(settings)))
        self._file.truncate(len(whole))
        self.answers = {answer.id: answer for answer in answers}

    def _compare(self, written: dict[str, Any], wanted: dict[str, Any]) -> None:
        for name in sorted(written.keys() | wanted.keys()):
            if written.get(name) != wanted.get(name):
                raise EvaluationError(
                    f"{self.path} has answers with {name} {written.get(name)!r}, this run has "
                    f"{wanted.get(name)!r}: choose another folder with --out."
                )

    def add(self, answer: Answer) -> None:
        """Write one answer to the disk's cache, which survives the process."""
        self._write(asdict(answer))
        self.answers[answer.id] = answer

    def _write(self, line: dict[str, Any]) -> None:
        data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        end = self._file.seek(0, os.SEEK_END)
        if os.write(self._file.fileno(), data) < len(data):
            self._file.truncate(end)
            raise EvaluationError(f"{self.path} cannot be written: the disk is full.")

    def __enter__(self) -> "AnswerFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
