"""The default sampling that vLLM gets: the original demo's, unless the model folder has its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("given", "device", "cpu", "expected"),
    [
        ([], "auto", False, "0.85"),
        (["--enforce-eager"], "cuda:1", False, "0.85"),
        (["--gpu-memory-utilization", "0.5"], "auto", False, "0.5"),
        ([], "cpu", False, None),
        ([], "auto", True, None),
    ],
)
def test_the_engine_leaves_room_for_an_encoder_on_a_gpu(
    given: list[str],
    device: str,
    cpu: bool,
    expected: str | None,
    tiny_model: Callable[[str], ModelFolder],
) -> None:
    folder = tiny_model("minigpt4-vicuna")
    flags = vllm_flags(folder, load_settings(encoder_device=device), "name", given, cpu=cpu)
    values = [flags[i + 1] for i, flag in enumerate(flags) if flag == "--gpu-memory-utilization"]
    assert values == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ([], True),
        (["--max-model-len", "512"], True),
        (["--enforce-eager"], False),
        (["-cc.mode=0"], False),
        (["-O2"], False),
        (["--compilation-config", "{}"], False),
        (["--cudagraph-capture-sizes", "1"], False),
    ],
)
def test_few_graphs_are_captured_unless_the_user_says_which(
    given: list[str], ours: bool, tiny_model: Callable[[str], ModelFolder]
) -> None:
    folder = tiny_model("minigpt4-vicuna")
    flags = vllm_flags(folder, load_settings(), "name", given, cpu=False)
    assert ("512" in flags[flags.index("--cudagraph-capture-sizes") :][:20]) if ours else True
    assert flags.count("--cudagraph-capture-sizes") == (1 if ours or "1" in given else 0)
