"""The program of the process that reads captured output and writes it as JSON lines.

:mod:`service.observability.output` starts it by its path, with ``python -I``. It imports only the
standard library, so that it starts fast.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby

LOGGER = "output"
"""Logger's name in the records."""

MAX_LINE = 1 << 20
"""Bytes after which the reader no longer waits for the end of a line."""


def main() -> None:
    """Read standard input until all processes that write to it have ended."""
    rest = b""
    while chunk := os.read(0, 1 << 16):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_LINE:
            lines, rest = [*lines, rest], b""
        _write(lines)
    _write([rest])


def make_records(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Pass JSON objects on unchanged; wrap other lines in records.

    Consecutive other lines become one record, because they may be one stack trace.
    """
    for is_record, group in groupby(filter(bytes.strip, lines), _is_record):
        if is_record:
            yield from group
        else:
            yield _make_record(b"\n".join(group).decode(errors="replace"))


def _is_record(line: bytes) -> bool:
    with suppress(ValueError, RecursionError):
        return isinstance(json.loads(line), dict)
    return False


def _make_record(text: str) -> bytes:
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    record = {
        "asctime": f"{stamp},{int(now % 1 * 1000):03}",
        "levelname": "WARNING",
        "name": LOGGER,
        "message": text,
    }
    return json.dumps(record).encode()


def _write(lines: Iterable[bytes]) -> None:
    with suppress(OSError):  # a closed terminal must not end the reader
        for record in make_records(lines):
            sys.stdout.buffer.write(record + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
