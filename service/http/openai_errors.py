"""Errors as OpenAI's clients expect them, and the one table from our errors to HTTP.

https://platform.openai.com/docs/guides/error-codes
"""

import json
from http import HTTPStatus

from service import errors

STATUS_AND_TYPE: dict[type[errors.ServiceError], tuple[HTTPStatus, str]] = {
    errors.ImageTooLargeError: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "invalid_request_error"),
    errors.ImageFetchError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request_error"),
    errors.ImageError: (HTTPStatus.BAD_REQUEST, "invalid_request_error"),
    errors.EncoderOverloadedError: (HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable"),
    errors.EncoderNotReadyError: (HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable"),
    errors.EncodingError: (HTTPStatus.INTERNAL_SERVER_ERROR, "server_error"),
}
"""The first base class found along an error's inheritance decides."""


def status_and_type(error: errors.ServiceError) -> tuple[HTTPStatus, str]:
    """HTTP status and OpenAI's error type of one of our errors."""
    for base in type(error).__mro__:
        if base in STATUS_AND_TYPE:
            return STATUS_AND_TYPE[base]
    return HTTPStatus.INTERNAL_SERVER_ERROR, "server_error"


def error_body(message: str, error_type: str, status: int, parameter: str | None = None) -> bytes:
    """The JSON body of an error response."""
    error = {"message": message, "type": error_type, "param": parameter, "code": status}
    return json.dumps({"error": error}).encode()
