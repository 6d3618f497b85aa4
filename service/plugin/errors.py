"""Our errors as vLLM's: the one table that decides what a client is told.

vLLM's routers turn its own error classes into OpenAI's or Anthropic's shape and anything else into a
500, so errors are translated where they enter its code.
"""

import functools
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from pydantic import ValidationError
from vllm.exceptions import (
    GracefulHTTPError,
    VLLMError,
    VLLMServerError,
    VLLMUnprocessableEntityError,
    VLLMValidationError,
)

from service import errors

P = ParamSpec("P")
R = TypeVar("R")


class BadRequestError(VLLMValidationError):
    """400, with the message alone; vLLM's own text repeats parameter and value in it."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnprocessableError(VLLMUnprocessableEntityError):
    """422, with the message alone."""

    def __str__(self) -> str:
        return str(self.args[0])


def as_vllm_error(error: errors.ServiceError) -> VLLMError:
    """400 for an image that cannot be used, 422 for one that could not be fetched, 503 for load.

    Files: 413 beyond an owner's share, 507 for a full disk, 500 for one that
    cannot be used: an operator must hear of it.
    """
    match error:
        case errors.ImageFetchError():
            return UnprocessableError(str(error), parameter=error.parameter)
        case errors.ImageError():
            return BadRequestError(str(error), parameter=error.parameter)
        case errors.UploadError():
            return BadRequestError(str(error), parameter=error.parameter)
        case errors.FileQuotaError():
            return GracefulHTTPError(str(error), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        case errors.StorageFullError():
            return GracefulHTTPError(str(error), HTTPStatus.INSUFFICIENT_STORAGE)
        case errors.StorageBusyError():
            return GracefulHTTPError(str(error), HTTPStatus.SERVICE_UNAVAILABLE)
        case (
            errors.EncoderOverloadedError()
            | errors.FetchingOverloadedError()
            | errors.EncoderNotReadyError()
        ):
            return GracefulHTTPError(str(error), HTTPStatus.SERVICE_UNAVAILABLE)
        case _:
            return VLLMServerError(str(error))


def translating_errors(call: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """``call``, raising vLLM's errors for ours, and for messages of a shape nobody knows."""

    @functools.wraps(call)
    async def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await call(*args, **kwargs)
        except errors.ServiceError as error:
            raise as_vllm_error(error) from error
        except ValidationError as error:
            # Content parts are validated only while they are read; pydantic's text is for developers.
            raise BadRequestError(
                "A message's content must be a string or a list of text and image_url parts.",
                parameter="messages",
            ) from error

    return translated


def refusing(validate: Callable[P, R]) -> Callable[P, R]:
    """``validate`` of a request's body, raising :class:`BadRequestError` where it fails itself.

    vLLM's validators look into a body before its types are known.
    """

    @functools.wraps(validate)
    def refused(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return validate(*args, **kwargs)
        except (VLLMError, ValueError):
            raise
        except Exception as error:
            raise BadRequestError("The body is not of this route's form.") from error

    return refused
