"""The captions, one JSON object a line, added as they come."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from service.errors import CaptioningError
from service.measurement.answers import Answer


class CaptionFile:
    """An append-only file of captions to one prompt; the store of answers of a run.

    A process that is killed loses at most the line that it was writing.

    Args:
        path: The file; its folder is created.
        prompt: Digest of the question. A file with captions to another question is not continued.

    Raises:
        CaptioningError: the file has something else, or another process is writing it.
    """

    def __init__(self, path: Path, prompt: str) -> None:
        self.path = path
        self.answers: dict[str, Answer] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load(prompt)
        except BlockingIOError as error:
            self._file.close()
            raise CaptioningError(f"Another process is writing {path}.") from error
        except CaptioningError:
            self._file.close()
            raise

    def add(self, answer: Answer) -> None:
        """Write a caption to the disk's cache, which survives the process."""
        line = {
            "image": answer.id,
            "caption": answer.text,
            "tokens": answer.tokens,
            "truncated": answer.truncated,
            "prompt": answer.asked,
        }
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        end = self._file.seek(0, os.SEEK_END)
        if os.write(self._file.fileno(), data) < len(data):
            self._file.truncate(end)
            raise CaptioningError(f"{self.path} cannot be written: the disk is full.")
        self.answers[answer.id] = answer

    def _load(self, prompt: str) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.split(b"\n")[:-1], 1):
            try:
                fields = json.loads(line)
                answer = Answer(
                    fields["image"],
                    fields["caption"],
                    fields["truncated"],
                    fields["tokens"],
                    fields["prompt"],
                )
            except (ValueError, TypeError, KeyError) as error:
                raise CaptioningError(f"{self.path}:{number} is not a caption.") from error
            if answer.asked != prompt:
                raise CaptioningError(
                    f"{self.path} has captions to another prompt: choose another file with --out."
                )
            self.answers[answer.id] = answer
        if not whole and not content.startswith(b'{"image"'[: len(content)]):
            raise CaptioningError(f"{self.path} is not a file of captions.")
        self._file.truncate(len(whole))

    def __enter__(self) -> "CaptionFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
