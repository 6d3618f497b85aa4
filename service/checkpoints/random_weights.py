"""Seeded random weights of a scale with which activations neither vanish nor explode."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def fill_randomly(module: nn.Module, generator: torch.Generator) -> None:
    """Replace every parameter of a module by random values."""
    for name, parameter in module.named_parameters():
        parameter.copy_(draw_weight(name, parameter, generator))


def draw_weight(name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a weight with the shape and dtype of ``like``; its name decides the scale."""
    values = torch.empty(like.shape, dtype=torch.float32)
    if "norm" in name.lower() and name.endswith("weight"):
        values.normal_(1.0, 0.1, generator=generator)
    elif name.endswith("bias"):
        values.normal_(0.0, 0.05, generator=generator)
    elif like.ndim >= 2 and "embed" not in name and "query_tokens" not in name:
        values.normal_(0.0, like[0].numel() ** -0.5, generator=generator)
    else:
        values.normal_(0.0, 0.5, generator=generator)
    return values.to(like.dtype)
