"""Why an engine did not start, told by the process that knows to the one that says it.

vLLM's API process only learns that an engine process has ended. The cause is an exception over there,
which it logs; a handler beside that log writes its text into a file that both know by the environment.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = "_MINIGPT4_SERVICE_START_FAILURE"
"""Environment variable with the file's path; not a setting."""

ENGINE_LOGGER = "vllm.v1.engine.core"
FROM_WORKER = re.compile(r"Worker failed with error '(.*)', please check", re.DOTALL)


@contextmanager
def recording() -> Iterator[Path]:
    """For the time of a start: the file that engine processes write the cause into."""
    with tempfile.NamedTemporaryFile(prefix="minigpt4-start-") as file:
        os.environ[FILE] = file.name
        try:
            yield Path(file.name)
        finally:
            del os.environ[FILE]


def record_failures() -> None:
    """In an engine process: write the cause of a failed start down. Does nothing elsewhere."""
    path = os.environ.get(FILE)
    logger = logging.getLogger(ENGINE_LOGGER)
    if path and not any(isinstance(handler, _Recorder) for handler in logger.handlers):
        logger.addHandler(_Recorder(Path(path)))


class _Recorder(logging.Handler):
    """Keeps the text of the first exception that is logged."""

    def __init__(self, file: Path) -> None:
        super().__init__(logging.ERROR)
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info and record.exc_info[1]
        # The file is gone once the service has started.
        if error and self._file.exists() and not self._file.read_text():
            self._file.write_text(_text(error))


def _text(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    if match := FROM_WORKER.search(text):
        text = match[1]
    return text.partition("\n")[0]
