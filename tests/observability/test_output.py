"""With JSON logs every line is JSON, whoever has written it."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from service.observability.output import MAX_LINE, as_records

START = """
import logging, os, subprocess, sys, time
from service.observability.logs import configure_logs
from service.observability.output import capture_output, restore_output
configure_logs("json", capture_output())
"""


def run(program: str) -> tuple[list[dict[str, Any]], int]:
    """The records that a program prints, and its exit status."""
    done = subprocess.run(
        [sys.executable, "-c", START + program],
        capture_output=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert done.stdout == b""
    return [json.loads(line) for line in done.stderr.splitlines()], done.returncode


def messages(program: str) -> list[str]:
    return [record["message"] for record in run(program)[0]]


@pytest.mark.parametrize(
    "program",
    [
        "os.write(2, b'raw words\\n')",
        "os.write(1, b'raw words')",
        "print('raw words')",
        "subprocess.run(['sh', '-c', 'echo raw words >&2'])",
        "sys.exit('raw words')",
    ],
)
def test_what_is_printed_becomes_a_record(program: str) -> None:
    (record,), _ = run(program)
    assert record["message"] == "raw words"
    assert record["levelname"] == "WARNING"
    assert record["asctime"]


def test_records_pass_as_they_are() -> None:
    program = """
logging.getLogger("service.x").info("ours")
print("printed")
restore_output()
os._exit(0)
"""
    ours, printed = run(program)[0]
    assert (ours["message"], ours["name"]) == ("ours", "service.x")
    assert printed["message"] == "printed"
    assert list(as_records([b'{"a": 1}', b"", b'{"b": 2}'])) == [b'{"a": 1}', b'{"b": 2}']


def test_a_trace_is_one_record() -> None:
    (trace,) = messages("raise RuntimeError('unforeseen')")
    assert trace.startswith("Traceback")
    assert trace.endswith("RuntimeError: unforeseen")


def test_last_words_are_kept_when_the_process_crashes() -> None:
    records, status = run("os.write(2, b'terminate called'); os.abort()")
    assert status == -signal.SIGABRT
    assert [record["message"] for record in records] == ["terminate called"]


def test_a_stopped_process_group_still_has_its_last_words_written() -> None:
    program = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("draining"))
os.killpg(0, signal.SIGTERM)
"""
    assert messages(program) == ["draining"]


def test_lines_that_are_nearly_json_are_wrapped() -> None:
    lines = [b'{"a": 1', b"[1]", b"NaN", b"\xff{}", b"[" * 100_000]
    for line in lines:
        (record,) = as_records([line])
        assert json.loads(record)["name"] == "output"


def test_a_line_without_end_is_not_waited_for() -> None:
    program = f"""
print("x" * {3 * MAX_LINE}, flush=True)
"""
    texts = messages(program)
    assert len(texts) > 1
    assert sum(map(len, texts)) == 3 * MAX_LINE
