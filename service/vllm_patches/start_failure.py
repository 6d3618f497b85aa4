"""Report why an engine did not start: one process knows the cause, and another process reports it.

vLLM's API process only learns that an engine process has ended. The engine process logs the
exception. A log handler writes its text into a file, whose path both processes know from an
environment variable.

Reads: records of the logger ``vllm.v1.engine.core``, the text of vLLM's worker error, and the exit
statuses in the text of the API process's error. Why no hook: vLLM reports "Engine core
initialization failed. See root cause above." as text only. Test:
``tests/engine/test_start_errors.py`` starts engines that fail. Upstream: send the root cause to the
parent over the handshake socket.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_VARIABLE = "_MINIGPT4_SERVICE_START_FAILURE"
"""Environment variable with the file's path; not a setting."""

ENGINE_LOGGER = "vllm.v1.engine.core"
WORKER_ERROR = re.compile(r"Worker failed with error '(.*)', please check", re.DOTALL)
KILLED = re.compile(r"'[^']+': -9\b")
"""vLLM lists its processes with their exit statuses; the kernel's OOM killer sends SIGKILL."""


@contextmanager
def collect_cause() -> Iterator[Path]:
    """Give the file into which a starting engine writes the cause of a failure."""
    with tempfile.NamedTemporaryFile(prefix="minigpt4-start-") as file:
        os.environ[FILE_VARIABLE] = file.name
        try:
            yield Path(file.name)
        finally:
            del os.environ[FILE_VARIABLE]


def explain(cause: str) -> str:
    """Return a message for the operator from the collected cause or the API's error."""
    if KILLED.search(cause):
        return (
            "The vLLM engine was killed while it started, most likely for lack of memory. "
            "`inspect` says what the model needs; VLLM_CPU_KVCACHE_SPACE (GiB) or "
            "--gpu-memory-utilization bounds the KV cache."
        )
    first_line = cause.strip().partition("\n")[0]
    return f"The vLLM engine did not start: {first_line}"


def record_failures() -> None:
    """Record the cause of a failed start in an engine process; do nothing in other processes."""
    path = os.environ.get(FILE_VARIABLE)
    logger = logging.getLogger(ENGINE_LOGGER)
    if path and not any(isinstance(handler, _Recorder) for handler in logger.handlers):
        logger.addHandler(_Recorder(Path(path)))


class _Recorder(logging.Handler):
    """Stores the text of the first logged exception."""

    def __init__(self, file: Path) -> None:
        super().__init__(logging.ERROR)
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info and record.exc_info[1]
        # The file is removed once the service has started.
        if error and self._file.exists() and not self._file.read_text():
            self._file.write_text(_cause_text(error))


def _cause_text(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    if match := WORKER_ERROR.search(text):
        text = match[1]
    return text.partition("\n")[0]
