"""Tensors with NaN or infinities are found in every dtype that embeddings have."""

import math

import pytest
import torch

from service.tensors.finite import is_finite


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 700, -1])
def test_one_bad_element_is_found(dtype: torch.dtype, value: float, place: int) -> None:
    tensor = torch.randn(1000).to(dtype)
    assert is_finite(tensor)
    tensor[place] = value
    assert not is_finite(tensor)


def test_the_largest_numbers_are_finite() -> None:
    assert is_finite(torch.full((100,), torch.finfo(torch.bfloat16).min, dtype=torch.bfloat16))
