"""The HTTP application: vLLM's OpenAI and Anthropic routers, our errors and limits around them."""

import logging
from argparse import Namespace

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.types import ASGIApp
from vllm.engine.protocol import EngineClient
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.app import build_app

from service import __version__
from service.errors import EncoderOverloadedError, ImageError, ServiceError
from service.families import DEFAULT_MAX_TOKENS
from service.http.limits import BodyLimit, RetryAfter
from service.http.openai_errors import error_body, status_and_type
from service.settings import Settings

logger = logging.getLogger("service.app")

# Everything else that vLLM mounts (scaling, aborting others' requests, raw token input, cloud
# vendors' aliases) is left out: a client must not be able to change or stop the engine.
PATHS = frozenset(
    {
        "/openapi.json",
        "/docs",
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
    }
)


async def create_app(
    engine: EngineClient, arguments: Namespace, settings: Settings
) -> tuple[FastAPI, ASGIApp]:
    """Compose the application.

    Returns:
        vLLM's application, whose lifespan must be entered, and the same with our limits around it.
    """
    tasks = await engine.get_supported_tasks()
    app = build_app(arguments, tasks, engine.model_config)
    await init_app_state(engine, app.state, arguments, tasks)
    app.title, app.version = "MiniGPT-4 service", __version__
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", None) in PATHS
    ]
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(Exception, _unexpected_error)
    _default_answer_length(app)
    return app, RetryAfter(BodyLimit(app, settings.request_max_bytes))


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


async def _service_error(_: Request, error: ServiceError) -> Response:
    status, error_type = status_and_type(error)
    parameter = error.parameter if isinstance(error, ImageError) else None
    headers = {}
    if isinstance(error, EncoderOverloadedError):
        headers["Retry-After"] = str(error.retry_after)
    body = error_body(str(error), error_type, status, parameter)
    return Response(body, status, headers, media_type="application/json")


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw: the log has the details, the client a general message."""
    logger.error("unexpected error on %s", request.url.path, exc_info=error)
    content = {
        "error": {
            "message": "The service failed on this request.",
            "type": "server_error",
            "param": None,
            "code": 500,
        }
    }
    return JSONResponse(content, 500)
