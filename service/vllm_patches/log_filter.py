"""Keep clients' mistakes out of the error log: vLLM logs some of them as errors, with tracebacks.

The access log has each such request with its status. The error log is for problems that an operator
can solve.

Reads: the exceptions and arguments of records on the handlers of the logger ``vllm``, never their
    text.
Why no hook: vLLM has no setting for it; ``--logging-config`` can change levels, which would also
    hide real errors.
Test: ``tests/vllm_patches/test_log_filter.py``.
Upstream: log client errors below the level ``ERROR``.
"""

import logging

from pydantic import ValidationError
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.exceptions import GracefulHTTPError, VLLMClientError

EXPECTED = (VLLMClientError, GracefulHTTPError, ValidationError)
"""Invalid requests, and refusals because of overload. vLLM also reports some other exceptions as
the client's fault, but these may be bugs."""


class ClientErrorFilter(logging.Filter):
    """Drops records about exceptions of :data:`EXPECTED`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to keep a record, by its exception and arguments."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        error = record.exc_info and record.exc_info[1]
        return not any(map(_is_expected, (error, *arguments)))


def _is_expected(subject: object) -> bool:
    if isinstance(subject, ErrorResponse):
        return subject.error.code < 500
    return isinstance(subject, EXPECTED)


def filter_client_errors() -> None:
    """Add the filter to all handlers of vLLM's loggers. Idempotent."""
    for handler in logging.getLogger("vllm").handlers:
        if not any(isinstance(present, ClientErrorFilter) for present in handler.filters):
            handler.addFilter(ClientErrorFilter())
