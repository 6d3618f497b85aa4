"""Add and remove model names while the service runs.

Replaces: ``is_base_model`` and ``model_name`` of vLLM's registry of served models, on its one
    instance.
Why no hook: vLLM reads ``--served-model-name`` once, and all responses contain its first name.
Test: ``tests/end_to_end/test_projections.py``.
Upstream: a registry of names that can change, and responses with the name that the request gave.
"""

from collections.abc import Callable
from typing import Any


def serve_names(models: Any, is_served: Callable[[str], bool], current: Callable[[], str]) -> None:
    """Let requests name more models.

    Args:
        models: vLLM's ``OpenAIServingModels``.
        is_served: Whether a name is served beside vLLM's own.
        current: The name that the current request's response gives; empty for vLLM's own.
    """
    is_base_model, model_name = models.registry.is_base_model, models.model_name

    def is_known(name: str) -> bool:
        # If an adapter has the same name, the adapter is used.
        return bool(is_base_model(name)) or (is_served(name) and name not in models.lora_requests)

    def name_model(lora_request: Any = None) -> str:
        own = str(model_name(lora_request))
        return own if lora_request is not None else current() or own

    models.registry.is_base_model = is_known
    models.model_name = name_model
