"""The service's log lines, as text for people or as JSON for log collectors.

vLLM writes its own lines; ``serve`` gives both the same format.
"""

import logging
import sys
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from service.settings import LogFormat

ROOT = "service"
ACCESS = "service.access"
TERMINAL = "service.serve.banner"
"""Logger of the messages of start and stop."""

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"

JSON_FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s"
"""The same field names as in vLLM's JSON lines."""


def configure_logs(log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Send the lines of all ``service`` loggers to ``stream`` (standard error). Idempotent."""
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(
        _JsonWithFields(JSON_FIELDS) if log_format == "json" else _TextWithFields("%(message)s")
    )
    logger = logging.getLogger(ROOT)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def vllm_logging_flags(log_format: LogFormat) -> list[str]:
    """Return the vLLM flags that give vLLM's and uvicorn's lines the same format."""
    return ["--logging-config.formatter", "json"] if log_format == "json" else []


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ignores a closed terminal."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _TextWithFields(logging.Formatter):
    """Puts the time before a message and the record's ``fields`` after it, as ``name=value``.

    The messages of start and stop have no time: a person reads them, and copies commands from them.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields: dict[str, Any] = getattr(record, "fields", {})
        words = [f"{name}={value}" for name, value in fields.items() if value not in (None, "")]
        time = [] if record.name == TERMINAL else [self.formatTime(record, TIME_FORMAT)]
        return " ".join([*time, record.message, *words])


class _JsonWithFields(JsonFormatter):
    """Adds a record's ``fields`` to the JSON object."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        log_data.update(log_data.pop("fields", None) or {})
