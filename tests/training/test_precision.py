"""The number format that training computes in."""

import pytest
import torch

from service.training import precision
from service.training.precision import fast_arithmetic


@pytest.mark.parametrize(
    ("is_faster", "expected"), [(True, torch.bfloat16), (False, torch.float32)]
)
def test_a_cpu_computes_in_the_faster_format(
    is_faster: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda: is_faster)
    layer = torch.nn.Linear(4, 4)
    with fast_arithmetic("cpu"):
        output = layer(torch.ones(2, 4))
    assert output.dtype == expected
    output.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    assert layer(torch.ones(2, 4)).dtype == torch.float32
