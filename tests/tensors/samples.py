"""Tensors of many kinds, for tests of reading and writing."""

import torch


def make_tensors() -> dict[str, torch.Tensor]:
    return {
        "contiguous": torch.randn(3, 4),
        "a view": torch.randn(6, 5).t()[1:, ::2],
        "half": torch.randn(7).half(),
        "bfloat16": torch.randn(2, 2).bfloat16(),
        "integers": torch.arange(5),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(2)),
    }
