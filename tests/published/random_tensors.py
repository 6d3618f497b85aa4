"""Reproducible random tensors of a scale with which activations neither vanish nor explode."""

import torch
from torch import Tensor

Tensors = dict[str, Tensor]


class RandomTensors:
    """Draws tensors from one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def matrix(self, *shape: int) -> Tensor:
        fan_in = torch.Size(shape[1:]).numel()
        return torch.randn(shape, generator=self.generator) * fan_in**-0.5

    def vector(self, width: int, scale: float = 0.1) -> Tensor:
        return torch.randn(width, generator=self.generator) * scale

    def linear(self, tensors: Tensors, name: str, outputs: int, inputs: int) -> None:
        tensors[f"{name}.weight"] = self.matrix(outputs, inputs)
        tensors[f"{name}.bias"] = self.vector(outputs)

    def norm(self, tensors: Tensors, name: str, width: int) -> None:
        tensors[f"{name}.weight"] = 1 + self.vector(width)
        tensors[f"{name}.bias"] = self.vector(width)
