"""The environment that the engine process inherits."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from vllm.platforms import current_platform

from service.serve.environment import (
    DYNAMO_SWITCH,
    disable_compilation,
    keep_kernels,
    limit_threads,
)

CPU = pytest.mark.skipif(not current_platform.is_cpu(), reason="on a GPU graphs are compiled")


@CPU
@pytest.mark.parametrize(
    ("eager", "given", "expected", "warned"),
    [
        (True, None, "1", False),
        (True, "0", "0", True),
        (False, None, None, True),
        (False, "1", "1", False),
    ],
)
def test_nothing_is_compiled_at_first_use_unless_someone_asks_for_it(
    eager: bool,
    given: str | None,
    expected: str | None,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {} if given is None else {DYNAMO_SWITCH: given}
    monkeypatch.setattr("os.environ", environment)
    warning = disable_compilation(Namespace(enforce_eager=eager))
    assert environment.get(DYNAMO_SWITCH) == expected
    assert (warning is not None) == warned


@pytest.mark.parametrize("on_gpu", [True, False])
def test_thread_pools_have_one_thread_where_the_gpu_computes(
    on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr("os.environ", environment)
    before = torch.get_num_threads()
    try:
        limit_threads(on_gpu)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert environment.get("OMP_NUM_THREADS") == ("1" if on_gpu else None)


def test_kernels_are_kept_in_the_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"TRITON_CACHE_DIR": "/given"}
    monkeypatch.setattr("os.environ", environment)
    keep_kernels(tmp_path)
    assert environment == {
        "TRITON_CACHE_DIR": "/given",
        "VLLM_CACHE_ROOT": str(tmp_path / "kernels" / "vllm"),
    }
