"""The table that maps our errors to vLLM's errors, and so to the statuses that a client gets.

vLLM's routers turn vLLM's own error classes into OpenAI's or Anthropic's shape, and other errors
into a 500. So our errors are translated before they reach vLLM's code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from pydantic import ValidationError
from vllm.exceptions import (
    GracefulHTTPError,
    VLLMError,
    VLLMNotFoundError,
    VLLMServerError,
    VLLMUnprocessableEntityError,
    VLLMValidationError,
)

from service import errors
from service.plugin.validation_messages import describe


class BadRequestError(VLLMValidationError):
    """400 with only the message; vLLM's own text repeats the parameter and its value."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnprocessableError(VLLMUnprocessableEntityError):
    """422 with only the message."""

    def __str__(self) -> str:
        return str(self.args[0])


def as_vllm_error(error: errors.ServiceError) -> VLLMError:
    """Return vLLM's error for ours.

    400 for an invalid request or image, 403 if an API key lacks the right, 404 if something does
    not exist, 413 for files beyond an owner's quota, 422 if an image could not be fetched, 429 for
    too many batches, 503 for overload, 507 for a full disk, and 500 for failures that an operator
    must know.
    """
    match error:
        case errors.ImageFetchError():
            return UnprocessableError(str(error), parameter=error.parameter)
        case errors.RequestError() | errors.ImageError() | errors.UploadError():
            return BadRequestError(str(error), parameter=error.parameter)
        case errors.NotFoundError():
            return VLLMNotFoundError(str(error))
        case errors.ForbiddenError():
            return GracefulHTTPError(str(error), HTTPStatus.FORBIDDEN)
        case errors.FileQuotaError():
            return GracefulHTTPError(str(error), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        case errors.BatchQuotaError():
            return GracefulHTTPError(str(error), HTTPStatus.TOO_MANY_REQUESTS)
        case errors.StorageFullError():
            return GracefulHTTPError(str(error), HTTPStatus.INSUFFICIENT_STORAGE)
        case errors.OverloadedError() | errors.EncoderNotReadyError():
            return GracefulHTTPError(str(error), HTTPStatus.SERVICE_UNAVAILABLE)
        case _:
            return VLLMServerError(str(error))


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise vLLM's errors instead of ours, and a 400 for a message that pydantic cannot read."""
    try:
        yield
    except errors.ServiceError as error:
        raise as_vllm_error(error) from error
    except ValidationError as error:
        # vLLM validates content parts only while it reads them.
        message, parameter = describe(error.errors(), prefix="messages.content")
        raise BadRequestError(message, parameter=parameter) from error
