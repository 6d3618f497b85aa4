"""Error messages for clients when the engine fails; the log has the details."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from vllm.exceptions import GracefulHTTPError, VLLMServerError
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

logger = logging.getLogger("service.engine")

ENDED = "The engine has ended, and the service ends with it. Send the request again."
FAILED = "The service failed on this request."


@contextmanager
def describe_failures() -> Iterator[None]:
    """Raise errors with our own sentences instead of the engine's: 503 if it ended, else 500."""
    try:
        yield
    except EngineDeadError as error:
        raise GracefulHTTPError(ENDED, HTTPStatus.SERVICE_UNAVAILABLE) from error
    except EngineGenerateError as error:
        logger.exception("The engine failed on a request.")
        raise VLLMServerError(FAILED) from error
