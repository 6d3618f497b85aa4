"""The HTTP application: vLLM's OpenAI and Anthropic routers, and our own routes beside them."""

from argparse import Namespace
from hashlib import sha256

from fastapi import FastAPI
from vllm.entrypoints.anthropic import api_router as messages
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.utils.server_utils import lifespan
from vllm.entrypoints.openai.chat_completion import api_router as chat_completions
from vllm.entrypoints.openai.completion import api_router as completions
from vllm.entrypoints.openai.responses import api_router as responses
from vllm.entrypoints.serve.instrumentator import health, metrics
from vllm.entrypoints.serve.middleware.register import init_entrypoints_middleware
from vllm.entrypoints.serve.tokenize import api_router as tokenize

from service import __version__
from service.api.error_handlers import add_error_handlers
from service.api.model_access import ModelAccess
from service.api.request_bodies import BodyAdapter
from service.api.routes.adapters import adapters_router
from service.api.routes.api_documentation import attach_documentation
from service.api.routes.batches import batches_router
from service.api.routes.files import files_router
from service.api.routes.image_embeddings import embeddings_router
from service.api.routes.models import models_router
from service.api.routes.page import attach_page
from service.api.routes.usage import usage_router
from service.api.routes.version import versions
from service.batches.limits import BatchLimits
from service.batches.store import BatchStore
from service.engine.beam_answers import beam_search
from service.engine.client import Engine
from service.families import DEFAULT_MAX_TOKENS
from service.files.store import FileStore, StoreLimits
from service.model_folder.layout import ModelFolder
from service.plugin.names import TOOL_PARSER
from service.request_context import current_request
from service.settings import Settings
from service.vision.shared import shared_projections, shared_runtime
from service.vllm_patches.answer_length import set_default_answer_length
from service.vllm_patches.beam_search import replace_beam_search
from service.vllm_patches.body_validation import wrap_validation
from service.vllm_patches.model_names import serve_names

VLLM_ROUTERS = (chat_completions, responses, messages, completions, tokenize)

SERVED_PATHS = frozenset(
    {
        "/openapi.json",
        "/health",
        "/metrics",
        "/version",
        "/tokenize",
        "/detokenize",
        "/v1/models",
        "/v1/models/{model:path}",
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
        "/v1/batches",
        "/v1/batches/{batch_id}",
        "/v1/batches/{batch_id}/cancel",
        "/v1/image_embeddings",
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/v1/usage",
    }
)
"""vLLM's routers bring more routes: rendering, raw tokens, lists of chats, cache and load internals. A client must
not be able to change, stop or inspect the engine."""


async def create_app(
    engine: Engine,
    arguments: Namespace,
    settings: Settings,
    folder: ModelFolder,
    batches: BatchStore | None,
) -> FastAPI:
    """Compose the application; its lifespan must be entered before it serves.

    Args:
        engine: The started engine.
        arguments: vLLM's arguments, parsed.
        settings: The service's own settings.
        folder: The model folder that is served; it may bring example images for the page.
        batches: From :func:`create_batch_store`.
    """
    tasks = await engine.get_supported_tasks()
    app = FastAPI(
        title="MiniGPT-4 service",
        version=__version__,
        lifespan=lifespan,
        openapi_url=None if arguments.disable_fastapi_docs else "/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.args = arguments
    app.root_path = arguments.root_path or ""
    _add_routes(app, settings, folder, arguments, batches)
    adapter = BodyAdapter(
        engine.model_config.max_model_len,
        embeddings_allowed=settings.image_embeddings_input,
        model_chooses=arguments.tool_call_parser != TOOL_PARSER,
        cap_limits=not settings.refuse_long_answers,
        boxes=folder.family.grounds,
        projections=shared_projections(),
    )
    access = ModelAccess(str(engine.model_config.served_model_name))
    wrap_validation(app, access.before(adapter.prepare), adapter.finish)
    add_error_handlers(app)
    init_entrypoints_middleware(_without_our_layers(arguments), app, tasks)
    await init_app_state(engine, app.state, arguments, tasks)
    replace_beam_search(beam_search)
    if (projections := shared_projections()) is not None:
        serve_names(
            app.state.openai_serving_models,
            lambda name: projections.find(name) is not None,
            lambda: current_request().model,
        )
    set_default_answer_length(app.state, DEFAULT_MAX_TOKENS)
    if not arguments.disable_fastapi_docs:
        attach_documentation(app)
    if settings.page:
        defaults = app.state.openai_serving_chat.default_sampling_params
        attach_page(app, folder.root, defaults, settings)
    return app


def create_batch_store(settings: Settings, model: str) -> BatchStore | None:
    """The store of batches, beside the uploaded files; None where the settings turn batches off.

    Services that share the folder run only the batches of their own ``model``, which is the name that they serve.
    """
    if not settings.files_mb or not settings.batch_concurrency:
        return None
    files = FileStore(settings.files_root, StoreLimits.from_settings(settings))
    root = settings.files_root / "batches" / sha256(model.encode()).hexdigest()[:16]
    return BatchStore(root, files, BatchLimits.from_settings(settings))


def _add_routes(
    app: FastAPI,
    settings: Settings,
    folder: ModelFolder,
    arguments: Namespace,
    batches: BatchStore | None,
) -> None:
    for router in VLLM_ROUTERS:
        router.attach_router(app)
    app.include_router(models_router(folder, settings, shared_projections()))
    app.include_router(embeddings_router(settings))
    if settings.adapters_dir and settings.adapter_keys and arguments.enable_lora:
        app.include_router(
            adapters_router(settings, settings.adapters_dir, arguments.max_lora_rank)
        )
    app.include_router(usage_router())
    if settings.files_mb:
        api_processes = arguments.api_server_count or 1
        limits = StoreLimits.from_settings(settings)
        store = FileStore(settings.files_root, limits, shared=api_processes > 1)
        decode = shared_runtime().on_decoding_thread
        app.include_router(files_router(store, settings, decode, api_processes))
    if batches is not None:
        app.include_router(batches_router(batches))
    app.include_router(health.router)
    app.add_api_route("/version", versions, methods=["GET"])
    metrics.attach_router(app)
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", None) in SERVED_PATHS
    ]


def _without_our_layers(arguments: Namespace) -> Namespace:
    """``arguments`` without the flags for which vLLM would add layers that our stack already has."""
    # An empty key counts as none, and keeps vLLM from reading the environment.
    return Namespace(**{**vars(arguments), "allowed_origins": [], "api_key": [""]})
