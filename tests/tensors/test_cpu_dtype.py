"""The choice between bfloat16 and float32 on a CPU."""

from collections.abc import Iterator

import pytest
import torch

from service.tensors.cpu_dtype import has_fast_bfloat16


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    has_fast_bfloat16.cache_clear()
    yield
    has_fast_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": True}, True),
        ({"avx512_bf16": True, "amx_bf16": False}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_the_instructions_decide(
    capabilities: dict[str, object], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_fast_bfloat16() is expected


def test_torch_knows_the_instructions_of_this_cpu() -> None:
    assert isinstance(has_fast_bfloat16(), bool)
    if torch.cpu.get_capabilities()["architecture"] == "x86_64":
        assert "amx_bf16" in torch.cpu.get_capabilities()
