"""Which number format the trainers compute in."""

import pytest
import torch

from service.training import precision
from service.training.precision import fast_arithmetic


@pytest.mark.parametrize(("pays", "computed"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_cpu_computes_in_what_it_multiplies_faster(
    pays: bool, computed: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "is_bfloat16_faster", lambda: pays)
    layer = torch.nn.Linear(4, 4)
    with fast_arithmetic("cpu"):
        output = layer(torch.ones(2, 4))
    assert output.dtype == computed
    output.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    assert layer(torch.ones(2, 4)).dtype == torch.float32
