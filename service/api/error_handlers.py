"""The application's exception handlers, which turn exceptions into responses in OpenAI's shape."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from vllm.entrypoints.serve.exception_handling.handlers.vllm_error import vllm_error_handler
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler

from service.api.error_responses import Refusal, error_body
from service.errors import FileQuotaError, ServiceError
from service.plugin.errors import as_vllm_error
from service.plugin.validation_messages import describe
from service.request_context import current_request

logger = logging.getLogger("service.api")

Handler = Callable[[Request, Exception], Awaitable[Response]]


def add_error_handlers(app: FastAPI) -> None:
    """Add vLLM's handlers and ours; each 500 leaves one traceback in the log."""
    init_exception_handler(app)
    app.add_exception_handler(RequestValidationError, handle_validation_error)
    app.add_exception_handler(HTTPException, handle_http_error)
    app.add_exception_handler(ServiceError, handle_service_error)
    app.add_exception_handler(Exception, handle_unexpected_error)
    log_failures(app)


async def handle_http_error(_: Request, error: Exception) -> Response:
    """Answer Starlette's own errors: no such route, method not allowed."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    body = error_body(status, error.detail, error_type=HTTPStatus(status).phrase)
    return Response(body, status, error.headers, media_type="application/json")


async def handle_validation_error(_: Request, error: Exception) -> Response:
    """Answer a body that does not fit the route, in one sentence that names the parameter."""
    assert isinstance(error, RequestValidationError)
    message, parameter = describe(error.errors())
    return Response(error_body(400, message, parameter), 400, media_type="application/json")


async def handle_service_error(request: Request, error: Exception) -> Response:
    """Answer errors of our own routes."""
    assert isinstance(error, ServiceError)
    if isinstance(error, FileQuotaError):
        current_request().refusal = Refusal.FILE_QUOTA
    return await vllm_error_handler(request, as_vllm_error(error))


async def handle_unexpected_error(_: Request, error: Exception) -> Response:
    """Answer bugs: the log has the details, and the client gets a general message."""
    body = error_body(500, "The service failed on this request.")
    return Response(body, 500, media_type="application/json")


def log_failures(app: FastAPI) -> None:
    """Make each handler of ``app`` log a traceback for a 500; vLLM's handlers log nothing."""
    for kind, handler in app.exception_handlers.items():
        if kind is not Exception:  # uvicorn logs exceptions that no other handler takes
            app.exception_handlers[kind] = _log_500(handler)


def _log_500(handler: Callable[..., Any]) -> Handler:
    async def handle(request: Request, error: Exception) -> Response:
        response: Response = await handler(request, error)
        if response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("%s failed.", request.url.path, exc_info=error)
        return response

    return handle
