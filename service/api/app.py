"""The HTTP application: vLLM's OpenAI and Anthropic routers, with our errors and limits around them."""

import logging
from argparse import Namespace
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp
from vllm.entrypoints.anthropic import api_router as messages
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.utils.server_utils import lifespan
from vllm.entrypoints.openai.chat_completion import api_router as chat_completions
from vllm.entrypoints.openai.completion import api_router as completions
from vllm.entrypoints.openai.models import api_router as models
from vllm.entrypoints.openai.responses import api_router as responses
from vllm.entrypoints.serve.exception_handling.handlers.vllm_error import vllm_error_handler
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler
from vllm.entrypoints.serve.instrumentator import health, metrics
from vllm.entrypoints.serve.middleware.register import init_entrypoints_middleware
from vllm.entrypoints.serve.tokenize import api_router as tokenize

from service import __version__
from service.api.error_responses import error_body
from service.api.middleware.admission import Overload
from service.api.middleware.body_limit import BodyBudget
from service.api.middleware.retry_after import BodyLimit, RetryAfter
from service.api.middleware.strict_json import StrictJson
from service.api.routes.files import files_router
from service.api.routes.image_embeddings import embeddings_router
from service.api.routes.page import attach_page
from service.api.routes.version import versions
from service.engine.admission import AdmittingEngine
from service.errors import FileQuotaError, ServiceError
from service.families import DEFAULT_MAX_TOKENS
from service.files.store import FileStore, StoreLimits
from service.plugin.errors import as_vllm_error, refusing
from service.settings import Settings
from service.vision.shared import shared_runtime

logger = logging.getLogger("service.api.app")

ROUTERS = (chat_completions, responses, messages, completions, models, tokenize)

# The routers bring more: rendering without generating, raw token input, batches in one request, cache
# and load internals. A client must not be able to change, stop or look into the engine.
PATHS = frozenset(
    {
        "/openapi.json",
        "/docs",
        "/docs/oauth2-redirect",
        "/health",
        "/metrics",
        "/version",
        "/tokenize",
        "/detokenize",
        "/v1/models",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/responses/{response_id}",
        "/v1/responses/{response_id}/cancel",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/files",
        "/v1/files/{file_id}",
        "/v1/files/{file_id}/content",
        "/v1/image_embeddings",
    }
)


async def create_app(
    engine: AdmittingEngine,
    arguments: Namespace,
    settings: Settings,
    model: Path,
    busy_seconds: Callable[[], int],
) -> tuple[FastAPI, ASGIApp]:
    """Compose the application.

    Args:
        model: The model folder, which may bring example images for the page.
        busy_seconds: How long a client should stay away when it is refused for load.

    Returns:
        The FastAPI application, whose lifespan must be entered, and the same with our limits around
        it, which is what serves.
    """
    tasks = await engine.get_supported_tasks()
    app = FastAPI(
        title="MiniGPT-4 service",
        version=__version__,
        lifespan=lifespan,
        openapi_url=None if arguments.disable_fastapi_docs else "/openapi.json",
        redoc_url=None,
    )
    app.state.args = arguments
    app.root_path = arguments.root_path or ""
    for router in ROUTERS:
        router.attach_router(app)
    app.include_router(embeddings_router(settings))
    if settings.files_mb:
        store = FileStore(settings.files_root, StoreLimits.from_settings(settings))
        decode = shared_runtime().on_decoding_thread
        app.include_router(files_router(store, settings, decode))
    app.include_router(health.router)
    app.add_api_route("/version", versions, methods=["GET"])
    metrics.attach_router(app)
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", None) in PATHS
    ]
    _let_no_validator_fail(app)
    init_exception_handler(app)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ServiceError, service_error)
    app.add_exception_handler(Exception, _unexpected_error)
    log_failures(app)
    init_entrypoints_middleware(without_ours(arguments), app, tasks)
    await init_app_state(engine, app.state, arguments, tasks)
    _default_answer_length(app)
    if settings.page:
        attach_page(app, model, app.state.openai_serving_chat.default_sampling_params)
    admitted = Overload(StrictJson(app), engine.full, engine.place)
    budget = BodyBudget(admitted, settings.bodies_max_bytes)
    bounded = BodyLimit(budget, settings.request_max_bytes)
    return app, RetryAfter(bounded, busy_seconds)


def without_ours(arguments: Namespace) -> Namespace:
    """``arguments`` for vLLM's own layers, which must not do again what ours do around them."""
    # An empty key is none, and keeps vLLM from asking the environment.
    return Namespace(**{**vars(arguments), "allowed_origins": [], "api_key": [""]})


def _let_no_validator_fail(app: FastAPI) -> None:
    """A body that vLLM's validators trip over is the client's fault, whatever they raise."""
    for route in app.routes:
        for body in route.dependant.body_params if isinstance(route, APIRoute) else ():
            body.validate = refusing(body.validate)  # type: ignore[method-assign]


def _default_answer_length(app: FastAPI) -> None:
    """300 new tokens where a request names no limit.

    vLLM's own setting for this (max_new_tokens of the generation config) would cap every request.
    """
    for handler in (
        "openai_serving_chat",
        "openai_serving_completion",
        "openai_serving_responses",
        "anthropic_serving_messages",
    ):
        getattr(app.state, handler).default_sampling_params["max_tokens"] = DEFAULT_MAX_TOKENS


async def _http_error(_: Request, error: Exception) -> Response:
    """Starlette's own refusals: no such route, no such method."""
    assert isinstance(error, HTTPException)
    body = error_body(error.detail, HTTPStatus(error.status_code).phrase, error.status_code)
    return Response(body, error.status_code, error.headers, media_type="application/json")


async def service_error(request: Request, error: Exception) -> Response:
    """Ours, from our own routes."""
    assert isinstance(error, ServiceError)
    if isinstance(error, FileQuotaError):
        request.state.rejected = "file_quota"
    return await vllm_error_handler(request, as_vllm_error(error))


def log_failures(app: FastAPI) -> None:
    """The traceback of each 500, once; vLLM's handlers write none."""
    for kind, handler in app.exception_handlers.items():
        if kind is not Exception:  # what has no handler of its own, uvicorn logs
            app.exception_handlers[kind] = logging_failures(handler)


def logging_failures(
    handler: Callable[..., Any],
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """``handler`` of an exception, which also logs it where the answer is a 500."""

    async def logged(request: Request, error: Exception) -> Response:
        response = await handler(request, error)
        if response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("%s failed.", request.url.path, exc_info=error)
        return response

    return logged


async def _unexpected_error(_: Request, error: Exception) -> Response:
    """What nobody foresaw: the log has the details, the client a general message."""
    body = error_body("The service failed on this request.", "InternalServerError", 500)
    return Response(body, 500, media_type="application/json")
