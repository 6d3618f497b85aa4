"""Where the model runs on a CPU."""

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from service.engine.cpu_process import check_kernels, shares_process
from service.errors import EngineStartError
from service.model_folder.layout import ModelFolder
from service.serve.vllm_arguments import parse_vllm_flags
from service.settings import load_settings
from tests.server import ServerProcess


@pytest.mark.parametrize(
    "flags",
    [
        ["--tensor-parallel-size", "2"],
        ["--pipeline-parallel-size", "2"],
        ["--data-parallel-size", "2"],
        ["--distributed-executor-backend", "mp"],
    ],
)
def test_flags_for_several_processes_are_respected(
    tiny_model: Callable[[str], ModelFolder], flags: list[str]
) -> None:
    folder = tiny_model("minigpt4-vicuna")
    assert shares_process(parse_vllm_flags(folder, load_settings(), []))
    assert not shares_process(parse_vllm_flags(folder, load_settings(), flags))


@pytest.mark.parametrize("size", [16, 33])
def test_heads_that_the_kernel_lacks_are_refused_at_the_start(size: int) -> None:
    config: Any = SimpleNamespace(model_config=SimpleNamespace(get_head_size=lambda: size))
    with pytest.raises(EngineStartError, match=f"have {size} elements. On a CPU, .* 32, 64"):
        check_kernels(config)


def test_fp8_is_refused_without_amx(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SimpleNamespace(get_head_size=lambda: 64, quantization="fp8")
    config: Any = SimpleNamespace(model_config=model)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    with pytest.raises(EngineStartError, match="FP8 weights need a GPU, or a CPU with AMX"):
        check_kernels(config)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    check_kernels(config)


def test_the_engine_is_one_process_and_leaves_a_core_to_the_others(server: ServerProcess) -> None:
    assert server.process is not None
    children = psutil.Process(server.pid).children(recursive=True)
    (engine,) = [child for child in children if "VLLM::" in " ".join(child.cmdline())]
    cores = os.sched_getaffinity(0)
    assert len(engine.cpu_affinity()) <= max(len(cores) - 1, 1)
    assert set(psutil.Process(server.pid).cpu_affinity()) == cores
