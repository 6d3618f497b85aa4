"""The choice between bfloat16 and float32 on a CPU."""

from collections.abc import Iterator

import pytest
import torch

from service.tensors import cpu_dtype
from service.tensors.cpu_dtype import is_bfloat16_faster


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    is_bfloat16_faster.cache_clear()
    yield
    is_bfloat16_faster.cache_clear()


@pytest.mark.parametrize(("faster", "expected"), [(torch.bfloat16, True), (torch.float32, False)])
def test_the_faster_dtype_is_chosen(
    faster: torch.dtype, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_dtype, "_time_product", lambda dtype: 1.0 if dtype == faster else 2.0)
    assert is_bfloat16_faster() is expected


def test_each_dtype_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[torch.dtype] = []

    def time_product(dtype: torch.dtype) -> float:
        measured.append(dtype)
        return 1.0

    monkeypatch.setattr(cpu_dtype, "_time_product", time_product)
    assert not is_bfloat16_faster(), "equal speed is not a reason to round"
    is_bfloat16_faster()
    assert sorted(map(str, measured)) == ["torch.bfloat16", "torch.float32"]
