"""Reads and checks the lines of an input file (https://platform.openai.com/docs/guides/batch).

The form of all lines is checked before the first line runs. Whether a body fits its route is
checked when the line runs; such an error concerns only this line.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.batches.record import BatchError

MAX_ERRORS = 50
"""Maximum number of errors of a file that its owner sees."""

CUSTOM_ID_CHARACTERS = 512


@dataclass(frozen=True)
class InputLine:
    """One request of a batch.

    Attributes:
        custom_id: The client's name for it, unique in the batch.
        body: The parsed JSON of the request's body.
    """

    custom_id: str
    body: dict[str, Any]


class _LineError(Exception):
    def __init__(self, code: str, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.parameter = code, message, parameter


def check_lines(file: Path, endpoint: str, max_lines: int) -> tuple[int, list[BatchError]]:
    """Check all lines; return their number and the errors.

    Blocks: call it on a thread.
    """
    seen: dict[str, int] = {}
    errors: list[BatchError] = []
    total = 0
    for number, text in _read(file):
        total += 1
        if total > max_lines:
            message = f"The file has more than {max_lines} lines."
            return total, [BatchError(code="too_many_tasks", message=message)]
        try:
            line = _parse(text, endpoint)
            if (first := seen.setdefault(line.custom_id, number)) != number:
                raise _LineError(
                    "duplicate_custom_id",
                    f"Line {first} has the same custom_id; it must be unique in the file.",
                    "custom_id",
                )
        except _LineError as error:
            errors.append(
                BatchError(
                    code=error.code, message=error.message, line=number, param=error.parameter
                )
            )
            if len(errors) >= MAX_ERRORS:
                break
    if total == 0:
        errors.append(BatchError(code="empty_file", message="The file has no lines."))
    return total, errors


def read_lines(file: Path, endpoint: str) -> Iterator[InputLine]:
    """Yield the lines of a file that :func:`check_lines` found good."""
    for _, text in _read(file):
        yield _parse(text, endpoint)


def _read(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers from 1."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, line


def _parse(text: bytes, endpoint: str) -> InputLine:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        raise _LineError("invalid_json_line", "This line is not a JSON object.") from None
    if not isinstance(line, dict):
        raise _LineError("invalid_json_line", "This line is not a JSON object.")
    custom_id, body = line.get("custom_id"), line.get("body")
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= CUSTOM_ID_CHARACTERS:
        raise _LineError(
            "invalid_custom_id",
            f"The custom_id must be a string of 1 to {CUSTOM_ID_CHARACTERS} characters.",
            "custom_id",
        )
    if line.get("method") != "POST":
        raise _LineError("invalid_method", "The method must be POST.", "method")
    if line.get("url") != endpoint:
        raise _LineError("invalid_url", f"The url must be the batch's endpoint, {endpoint}.", "url")
    if not isinstance(body, dict):
        raise _LineError("invalid_body", "The body must be a JSON object.", "body")
    return InputLine(custom_id, body)
