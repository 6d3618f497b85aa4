"""With JSON logs, every line is JSON, including lines that no logger wrote."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from service.observability.output_reader import MAX_LINE, make_records

START = """
import logging, os, subprocess, sys, time
from service.observability.logs import configure_logs
from service.observability.output import capture_output, restore_output
configure_logs("json", capture_output())
"""


def run(program: str) -> tuple[list[dict[str, Any]], int]:
    """Run a program; return the records that it prints and its exit status."""
    done = subprocess.run(
        [sys.executable, "-c", START + program],
        capture_output=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert done.stdout == b""
    return [json.loads(line) for line in done.stderr.splitlines()], done.returncode


def run_for_messages(program: str) -> list[str]:
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
def test_printed_text_becomes_a_record(program: str) -> None:
    (record,), _ = run(program)
    assert record["message"] == "raw words"
    assert record["levelname"] == "WARNING"
    assert record["asctime"]


def test_records_are_passed_on_unchanged() -> None:
    program = """
logging.getLogger("service.x").info("ours")
print("printed")
restore_output()
os._exit(0)
"""
    ours, printed = run(program)[0]
    assert (ours["message"], ours["name"]) == ("ours", "service.x")
    assert printed["message"] == "printed"
    assert list(make_records([b'{"a": 1}', b"", b'{"b": 2}'])) == [b'{"a": 1}', b'{"b": 2}']


def test_a_stack_trace_is_one_record() -> None:
    (trace,) = run_for_messages("raise RuntimeError('unforeseen')")
    assert trace.startswith("Traceback")
    assert trace.endswith("RuntimeError: unforeseen")


def test_the_last_lines_of_a_crashing_process_are_written() -> None:
    records, status = run("os.write(2, b'terminate called'); os.abort()")
    assert status == -signal.SIGABRT
    assert [record["message"] for record in records] == ["terminate called"]


def test_the_last_lines_are_written_when_the_process_group_is_stopped() -> None:
    program = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("draining"))
os.killpg(0, signal.SIGTERM)
"""
    assert run_for_messages(program) == ["draining"]


def test_lines_that_are_almost_json_are_wrapped() -> None:
    lines = [b'{"a": 1', b"[1]", b"NaN", b"\xff{}", b"[" * 100_000]
    for line in lines:
        (record,) = make_records([line])
        assert json.loads(record)["name"] == "output"


def test_the_reader_does_not_wait_for_the_end_of_a_very_long_line() -> None:
    program = f"""
print("x" * {3 * MAX_LINE}, flush=True)
"""
    texts = run_for_messages(program)
    assert len(texts) > 1
    assert sum(map(len, texts)) == 3 * MAX_LINE
