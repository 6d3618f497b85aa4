"""Log lines of the service itself, as text for a person or as JSON for a collector.

vLLM writes its own with its ``--logging-config``; ``serve`` gives both the same format.
"""

import logging
import sys
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from service.settings import LogFormat

ROOT = "service"
ACCESS = "service.access"

JSON_FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s"
"""Named as vLLM's JSON lines name them."""


def configure_logs(log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Send everything below ``service`` to ``stream`` (standard error) in ``log_format``. Idempotent."""
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_json() if log_format == "json" else _Text("%(message)s"))
    logger = logging.getLogger(ROOT)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def vllm_logging_flags(log_format: LogFormat) -> list[str]:
    """Flags that make vLLM's and uvicorn's lines fit."""
    return ["--logging-config.formatter", "json"] if log_format == "json" else []


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """A closed terminal is no reason to fail."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _Text(logging.Formatter):
    """A record's ``fields`` after its message, as ``name=value``."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields: dict[str, Any] = getattr(record, "fields", {})
        words = [f"{name}={value}" for name, value in fields.items() if value not in (None, "")]
        return " ".join([record.message, *words])


class _JsonWithFields(JsonFormatter):
    """A record's ``fields`` beside its message."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        log_data.update(log_data.pop("fields", None) or {})


def _json() -> logging.Formatter:
    return _JsonWithFields(JSON_FIELDS)
