"""Capture what a process prints without a logger, so that with JSON logs every line is JSON.

Native libraries, Python itself and crashing processes write directly to standard output and
standard error. Both are redirected into a pipe, which a small process reads
(:mod:`service.observability.output_reader`). A thread of this process could not do this. It would
end with a crashing process before it has read the last lines. It could also deadlock: native code
that holds the GIL while it writes to a full pipe waits for the reader, and the reader waits for the
GIL.
"""

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from service.observability import output_reader

WAIT_SECONDS = 1.0
"""Seconds that the process waits at its end for the reader to write the last lines."""

OUTPUTS = (1, 2)
"""File descriptors of standard output and standard error."""

_captured: "_CapturedOutput | None" = None


def capture_output() -> TextIO:
    """Redirect the outputs of this process and of its future children to the reader.

    Returns:
        The former standard error, for lines that are JSON already. They bypass the reader, so none
        of them is lost, however the process ends.
    """
    global _captured
    _captured = _CapturedOutput()
    atexit.register(restore_output)
    return _captured.direct


def restore_output() -> None:
    """Undo the redirection and wait until the reader has written everything.

    Call it before the process ends.
    """
    global _captured
    if _captured is not None:
        _captured.restore()
        _captured = None


class _CapturedOutput:
    def __init__(self) -> None:
        self.direct: TextIO = os.fdopen(os.dup(2), "w", buffering=1)
        self._reader = _start_reader(self.direct)
        assert self._reader.stdin is not None
        for output in OUTPUTS:
            os.dup2(self._reader.stdin.fileno(), output)
        self._reader.stdin.close()

    def restore(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        for output in OUTPUTS:
            os.dup2(self.direct.fileno(), output)
        with suppress(subprocess.TimeoutExpired):
            self._reader.wait(WAIT_SECONDS)


def _start_reader(destination: TextIO) -> "subprocess.Popen[bytes]":
    # Without -I, the modules of this folder would hide standard modules of the same names.
    command = [sys.executable, "-I", output_reader.__file__]
    with _block_signals(signal.SIGINT, signal.SIGTERM):
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=destination)  # noqa: S603


@contextmanager
def _block_signals(*signals: signal.Signals) -> Iterator[None]:
    """Block signals, so that a process started in the block never receives them.

    A signal may go to the whole process group, but the reader must live until the last line is
    written.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
