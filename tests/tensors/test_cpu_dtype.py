"""Which number format a CPU is said to multiply faster."""

from collections.abc import Iterator

import pytest
import torch

from service.tensors import cpu_dtype
from service.tensors.cpu_dtype import bfloat16_pays


@pytest.fixture(autouse=True)
def measured_anew() -> Iterator[None]:
    bfloat16_pays.cache_clear()
    yield
    bfloat16_pays.cache_clear()


@pytest.mark.parametrize(("faster", "pays"), [(torch.bfloat16, True), (torch.float32, False)])
def test_the_faster_format_is_taken(
    faster: torch.dtype, pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_dtype, "_seconds", lambda dtype: 1.0 if dtype == faster else 2.0)
    assert bfloat16_pays() is pays


def test_it_is_measured_once_in_either_format(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.dtype] = []

    def seconds(dtype: torch.dtype) -> float:
        asked.append(dtype)
        return 1.0

    monkeypatch.setattr(cpu_dtype, "_seconds", seconds)
    assert not bfloat16_pays(), "as fast is no reason to round"
    bfloat16_pays()
    assert sorted(map(str, asked)) == ["torch.bfloat16", "torch.float32"]
