"""Whose fault an error is: vLLM logs some of what clients do wrong as errors, with traces.

The access line has each of them, with its status. A log of errors is for what an operator can mend.
"""

import logging

from pydantic import ValidationError
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.exceptions import GracefulHTTPError, VLLMClientError

EXPECTED = (VLLMClientError, GracefulHTTPError, ValidationError)
"""Requests that cannot be served, and refusals for load. Other exceptions may be told to the client as
its own fault, too, and still be a bug."""


class OwnFaults(logging.Filter):
    """Lets records pass except those about what :data:`EXPECTED` covers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Look at the exception and at what the message is made of, never at its text."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        error = record.exc_info and record.exc_info[1]
        return not any(map(_is_expected, (error, *arguments)))


def _is_expected(about: object) -> bool:
    if isinstance(about, ErrorResponse):
        return about.error.code < 500
    return isinstance(about, EXPECTED)


def log_own_faults_only() -> None:
    """For vLLM's handlers, whatever logger of its uses them. Idempotent."""
    for handler in logging.getLogger("vllm").handlers:
        if not any(isinstance(present, OwnFaults) for present in handler.filters):
            handler.addFilter(OwnFaults())
