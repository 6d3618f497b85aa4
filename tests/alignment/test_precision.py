"""Which number format the trainers compute in."""

from collections.abc import Iterator

import pytest
import torch

from service.alignment import precision
from service.alignment.precision import bfloat16_pays, fast_arithmetic


@pytest.fixture(autouse=True)
def measured_anew() -> Iterator[None]:
    bfloat16_pays.cache_clear()
    yield
    bfloat16_pays.cache_clear()


@pytest.mark.parametrize("faster", [torch.bfloat16, torch.float32])
def test_a_cpu_computes_in_what_it_multiplies_faster(faster, monkeypatch):
    monkeypatch.setattr(precision, "_seconds", lambda dtype: 1.0 if dtype == faster else 2.0)
    layer = torch.nn.Linear(4, 4)
    with fast_arithmetic("cpu"):
        output = layer(torch.ones(2, 4))
    assert output.dtype == faster
    output.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    assert layer(torch.ones(2, 4)).dtype == torch.float32


def test_it_is_measured_once_with_either_format(monkeypatch):
    asked = []
    monkeypatch.setattr(precision, "_seconds", lambda dtype: asked.append(dtype) or 1.0)
    assert not bfloat16_pays(), "as fast is no reason to round"
    bfloat16_pays()
    assert sorted(map(str, asked)) == ["torch.bfloat16", "torch.float32"]
