"""With JSON logs: what is printed past the loggers, as JSON lines, too.

Native libraries, Python itself and processes that crash write to standard output and error directly. Both
lead through a small process of its own. A thread would end with the process that crashes, last words
unread, and could be kept from reading by whoever holds Python's lock and waits for it to read.

This file is also that process's program, which needs nothing but the standard library.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import TextIO

NAME = "output"
"""Logger's name in the records."""

MAX_LINE = 1 << 20
"""Bytes of a line that are waited for."""

END_SECONDS = 1.0


_captured: "_CapturedOutput | None" = None


def capture_output() -> TextIO:
    """Lead outputs 1 and 2 of this process, and of those it starts from now on, through the other.

    Returns:
        The former standard error, for lines that are JSON already: nothing is lost of them however the
        process ends.
    """
    global _captured
    _captured = _CapturedOutput()
    atexit.register(restore_output)
    return _captured.direct


def restore_output() -> None:
    """Before the process ends: wait until what it has printed is written, a second at most."""
    global _captured
    if _captured is not None:
        _captured.restore()
        _captured = None


class _CapturedOutput:
    def __init__(self) -> None:
        self.direct: TextIO = os.fdopen(os.dup(2), "w", buffering=1)
        with _blocked(signal.SIGINT, signal.SIGTERM):
            # Isolated, or this folder's modules would hide others of the same names.
            self._reader = subprocess.Popen(  # noqa: S603 - this very file
                [sys.executable, "-I", __file__], stdin=subprocess.PIPE, stdout=self.direct
            )
        assert self._reader.stdin is not None
        for output in (1, 2):
            os.dup2(self._reader.stdin.fileno(), output)
        self._reader.stdin.close()

    def restore(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        for output in (1, 2):
            os.dup2(self.direct.fileno(), output)
        with suppress(subprocess.TimeoutExpired):
            self._reader.wait(END_SECONDS)


@contextmanager
def _blocked(*signals: signal.Signals) -> Iterator[None]:
    """A process started meanwhile never gets them: who stops the service may stop its whole process
    group, and what is printed at the end is wanted."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def as_records(lines: Iterable[bytes]) -> Iterator[bytes]:
    """JSON objects as they are; of other lines those that came together, a trace say, as one record."""
    for ready, group in groupby(filter(bytes.strip, lines), _is_record):
        if ready:
            yield from group
        else:
            yield _record(b"\n".join(group).decode(errors="replace"))


def _is_record(line: bytes) -> bool:
    with suppress(ValueError, RecursionError):
        return isinstance(json.loads(line), dict)
    return False


def _record(text: str) -> bytes:
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    record = {
        "asctime": f"{stamp},{int(now % 1 * 1000):03}",
        "levelname": "WARNING",
        "name": NAME,
        "message": text,
    }
    return json.dumps(record).encode()


def main() -> None:
    """Pass on what comes in, until everybody who might write has ended."""
    rest = b""
    while chunk := os.read(0, 1 << 16):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_LINE:
            lines, rest = [*lines, rest], b""
        _write(lines)
    _write([rest])


def _write(lines: Iterable[bytes]) -> None:
    with suppress(OSError):  # a closed terminal is no reason to fail
        for record in as_records(lines):
            sys.stdout.buffer.write(record + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
