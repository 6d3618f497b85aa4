"""Error responses in OpenAI's shape, and the reasons for which requests are refused.

All layers that answer before vLLM's routers use this module. The shape is
https://platform.openai.com/docs/guides/error-codes; the names of the types are vLLM's.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from starlette.datastructures import MutableHeaders
from starlette.types import Send

from service.request_context import current_request


class Refusal(StrEnum):
    """Why a request was refused: the label ``reason`` of ``minigpt4_requests_rejected``."""

    UNAUTHORIZED = "unauthorized"
    BODY_TOO_LARGE = "body_too_large"
    OVERLOADED = "overloaded"
    STARTING = "starting"
    DRAINING = "draining"
    FAILED = "failed"
    DEADLINE = "deadline"
    CLIENT_DEADLINE = "client_deadline"
    FILE_QUOTA = "file_quota"
    RATE_LIMIT = "rate_limit"


REFUSAL_OF_STATUS = {
    401: Refusal.UNAUTHORIZED,
    413: Refusal.BODY_TOO_LARGE,
    429: Refusal.RATE_LIMIT,
    503: Refusal.OVERLOADED,
}
"""The reason of a status if no layer has named another one."""

ERROR_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    408: "TimeoutError",
    413: "BadRequestError",
    415: "BadRequestError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
    504: "TimeoutError",
}

BUSY = "The service is busy and cannot take another request now; try again later."


def error_body(
    status: int, message: str, parameter: str | None = None, error_type: str | None = None
) -> bytes:
    """The JSON body of an error response.

    Args:
        parameter: The request field or header that is wrong, in OpenAI's naming.
        error_type: A type other than the one in :data:`ERROR_TYPES`.
    """
    error = {
        "message": message,
        "type": error_type or ERROR_TYPES[status],
        "param": parameter,
        "code": status,
    }
    return json.dumps({"error": error}).encode()


async def send_json(
    send: Send,
    status: int,
    body: bytes,
    retry_after: int | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Send a whole JSON response; ``retry_after`` is in seconds."""
    all_headers = MutableHeaders({**headers, "content-type": "application/json"})
    all_headers["content-length"] = str(len(body))
    if retry_after is not None:
        all_headers["retry-after"] = str(retry_after)
    await send({"type": "http.response.start", "status": status, "headers": all_headers.raw})
    await send({"type": "http.response.body", "body": body})


async def send_error(
    send: Send,
    status: int,
    message: str,
    *,
    parameter: str | None = None,
    refusal: Refusal | None = None,
    retry_after: int | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Send an error response; store ``refusal`` for the access line and the metrics."""
    if refusal is not None:
        current_request().refusal = refusal
    await send_json(send, status, error_body(status, message, parameter), retry_after, headers)


async def send_overloaded(send: Send) -> None:
    """Send 503 because of overload.

    :class:`service.api.middleware.retry_after.RetryAfter` adds the header.
    """
    await send_error(send, 503, BUSY, refusal=Refusal.OVERLOADED)
