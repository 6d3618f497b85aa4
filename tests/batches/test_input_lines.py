"""The form of an input file's lines."""

from pathlib import Path
from typing import Any

import pytest

from service.batches.input_lines import MAX_ERRORS, check_lines, read_lines
from tests.batches.conftest import CHAT, json_lines, line


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "input"


def test_good_lines(file: Path) -> None:
    file.write_bytes(json_lines(line("a"), line("b")) + b"\n  \n" + json_lines(line("c"))[:-1])
    assert check_lines(file, CHAT, 3) == (3, [])
    assert [each.custom_id for each in read_lines(file, CHAT)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("bad", "code", "parameter"),
    [
        ([1], "invalid_json_line", None),
        (line(1), "invalid_custom_id", "custom_id"),
        (line(""), "invalid_custom_id", "custom_id"),
        (line("x" * 513), "invalid_custom_id", "custom_id"),
        (line("a", method="GET"), "invalid_method", "method"),
        (line("a", url="/v1/completions"), "invalid_url", "url"),
        (line("a", body="text"), "invalid_body", "body"),
        (line("good"), "duplicate_custom_id", "custom_id"),
    ],
)
def test_a_bad_line_is_named(file: Path, bad: Any, code: str, parameter: str | None) -> None:
    file.write_bytes(json_lines(line("good"), bad, line("other")))
    total, (error,) = check_lines(file, CHAT, 10)
    assert (total, error.code, error.param, error.line) == (3, code, parameter, 2)


@pytest.mark.parametrize("broken", [b'{"custom_id": \n', b"\xff\n", b"[" * 100_000 + b"\n"])
def test_what_is_not_json(file: Path, broken: bytes) -> None:
    file.write_bytes(broken)
    _, (error,) = check_lines(file, CHAT, 10)
    assert (error.code, error.line) == ("invalid_json_line", 1)


def test_an_empty_file(file: Path) -> None:
    file.write_bytes(b"\n\n")
    assert check_lines(file, CHAT, 10)[1][0].code == "empty_file"


def test_too_many_lines(file: Path) -> None:
    file.write_bytes(json_lines(*map(line, "abc")))
    assert check_lines(file, CHAT, 2)[1][0].code == "too_many_tasks"


def test_the_errors_of_a_file_are_bounded(file: Path) -> None:
    file.write_bytes(b"{\n" * 1000)
    assert len(check_lines(file, CHAT, 10_000)[1]) == MAX_ERRORS
