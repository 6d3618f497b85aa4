"""``POST /v1/load_lora_adapter`` and ``/v1/unload_lora_adapter``.

The forms are vLLM's. vLLM's own routes would let every client name any path of the server; here an
API key needs the right, and an adapter is a folder below ``adapters_dir``.
"""

import asyncio
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest, UnloadLoRAAdapterRequest

from service.errors import AdapterError, ForbiddenError, NotFoundError, RequestError
from service.model_folder.adapter import check_adapter
from service.request_context import current_request
from service.settings import Settings

NAME = re.compile(r"[\w.-]{1,64}")


class LoadAdapter(BaseModel):
    """An adapter to load."""

    lora_name: str = Field(description="The model's name for clients.")
    lora_path: str = Field(description="A folder below `adapters_dir`.")


class UnloadAdapter(BaseModel):
    """An adapter to unload."""

    lora_name: str


class AdapterState(BaseModel):
    """The result."""

    lora_name: str
    loaded: bool


def adapters_router(settings: Settings, root: Path, max_rank: int) -> APIRouter:
    """The routes.

    Args:
        settings: Name the API keys that may load adapters.
        root: The folder that holds the adapters.
        max_rank: The engine's ``--max-lora-rank``.
    """
    router = APIRouter(tags=["adapters"])

    @router.post("/v1/load_lora_adapter")
    async def load_adapter(request: LoadAdapter, raw_request: Request) -> AdapterState:
        """Load an adapter. After the response, requests can name it."""
        _check_right(settings)
        if not NAME.fullmatch(request.lora_name):
            raise RequestError(
                "The name of an adapter is 1 to 64 letters, digits, dots, dashes or underscores.",
                "lora_name",
            )
        models = raw_request.app.state.openai_serving_models
        folder = _find_folder(root, request.lora_path)
        config = models.model_config.hf_config.to_dict()
        try:
            await asyncio.to_thread(check_adapter, folder, config, max_rank)
        except AdapterError as error:
            raise RequestError(str(error).replace(f"{root}/", ""), "lora_path") from error
        form = LoadLoRAAdapterRequest(lora_name=request.lora_name, lora_path=str(folder))
        _check_result(await models.load_lora_adapter(form))
        return AdapterState(lora_name=request.lora_name, loaded=True)

    @router.post("/v1/unload_lora_adapter")
    async def unload_adapter(request: UnloadAdapter, raw_request: Request) -> AdapterState:
        """Unload an adapter; requests that have begun keep it."""
        _check_right(settings)
        models = raw_request.app.state.openai_serving_models
        form = UnloadLoRAAdapterRequest(lora_name=request.lora_name)
        _check_result(await models.unload_lora_adapter(form))
        return AdapterState(lora_name=request.lora_name, loaded=False)

    return router


def _check_right(settings: Settings) -> None:
    if current_request().tenant not in settings.adapter_keys:
        raise ForbiddenError("This API key may not load or unload adapters.")


def _find_folder(root: Path, path: str) -> Path:
    folder = (root / path).resolve()
    if not folder.is_relative_to(root.resolve()) or not folder.is_dir():
        raise RequestError("There is no such folder of an adapter.", "lora_path")
    return folder


def _check_result(result: Any) -> None:
    """Raise our error for vLLM's."""
    if not isinstance(result, ErrorResponse):
        return
    if result.error.code == 404:
        raise NotFoundError(result.error.message)
    raise RequestError(result.error.message, "lora_name")
