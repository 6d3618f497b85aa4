"""The sampling of requests that name none: the original demo's, unless the model folder says otherwise."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.engine.flags import vllm_flags
from service.families import DEFAULT_SAMPLING
from service.model_folder.layout import ModelFolder, ModelIndex
from service.serve.builtin_models import resolve_model
from service.settings import Settings


def defaults(folder: ModelFolder) -> dict[str, float]:
    """What vLLM is told."""
    flags = vllm_flags(folder, Settings(), "name", [], cpu=True)
    return json.loads(flags[flags.index("--override-generation-config") + 1])


def test_a_model_without_its_own_samples_as_the_original(
    tiny_model: Callable[[str], ModelFolder],
) -> None:
    assert defaults(tiny_model("minigpt4-vicuna")) == DEFAULT_SAMPLING


def test_the_demo_model_leaves_nothing_to_chance(tmp_path: Path) -> None:
    ours = {"temperature": 0, "repetition_penalty": 1}
    assert defaults(resolve_model("demo", tmp_path)) == DEFAULT_SAMPLING | ours


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValidationError, match="temprature"):
        ModelIndex(
            family="minigpt4-vicuna", image_size=224, visual_tokens=32, sampling={"temprature": 1}
        )
