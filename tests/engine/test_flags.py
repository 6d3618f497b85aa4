"""The default sampling that vLLM gets: the original demo's, unless the model folder has its own."""

import json
from collections.abc import Callable
from pathlib import Path

from service.engine.flags import vllm_flags
from service.families import DEFAULT_SAMPLING
from service.model_folder.layout import ModelFolder
from service.serve.builtin_models import resolve_model
from service.settings import load_settings


def read_sampling(folder: ModelFolder) -> dict[str, float]:
    flags = vllm_flags(folder, load_settings(), "name", [], cpu=True)
    return json.loads(flags[flags.index("--override-generation-config") + 1])


def test_without_sampling_in_the_model_folder_it_is_the_original_demos(
    tiny_model: Callable[[str], ModelFolder],
) -> None:
    assert read_sampling(tiny_model("minigpt4-vicuna")) == DEFAULT_SAMPLING


def test_the_demo_model_decodes_greedily_without_a_penalty(tmp_path: Path) -> None:
    own = {"temperature": 0, "repetition_penalty": 1}
    assert read_sampling(resolve_model("demo", tmp_path)) == DEFAULT_SAMPLING | own
