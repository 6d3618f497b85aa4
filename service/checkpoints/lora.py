"""MiniGPT-v2's low-rank updates of Llama-2's attention (Hu et al. 2021, arXiv:2106.09685)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor

DEFAULT_ALPHA = 16.0
"""MiniGPT-v2's ``lora_alpha``. The update is scaled by alpha / rank: 16 / 64."""

# peft 0.2, which the original pins, writes "lora_A"; later versions add the adapter's name,
# "default".
_NAME = re.compile(
    r"llama_model\.base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight"
)


@dataclass(frozen=True)
class LoraUpdate:
    """The update ``scale * up @ down`` of one weight matrix.

    Attributes:
        down: ``[rank, inputs]`` (A).
        up: ``[outputs, rank]`` (B).
    """

    down: LazyTensor
    up: LazyTensor
    scale: float

    def apply(self, weight: Tensor) -> Tensor:
        """Return the updated matrix in the dtype of ``weight``; compute in float32."""
        up, down = self.up.load().float(), self.down.load().float()
        return torch.addmm(weight.float(), up, down, alpha=self.scale).to(weight.dtype)


def is_lora(name: str) -> bool:
    """Return whether a tensor of a checkpoint is one half of a LoRA update."""
    return _NAME.fullmatch(name) is not None


def read_lora_updates(tensors: Mapping[str, LazyTensor], alpha: float) -> dict[str, LoraUpdate]:
    """Collect the updates in a MiniGPT-v2 checkpoint, by the weight's name in the language model.

    Raises:
        CheckpointError: a half is missing, or two halves do not fit together.
    """
    halves: dict[str, dict[str, LazyTensor]] = {}
    for name, tensor in tensors.items():
        if match := _NAME.fullmatch(name):
            halves.setdefault(f"{match['module']}.weight", {})[match["side"]] = tensor
    updates = {}
    for weight, sides in halves.items():
        down, up = sides.get("A"), sides.get("B")
        if down is None or up is None:
            raise CheckpointError(f"The checkpoint holds only half of the LoRA update of {weight}.")
        if len(down.shape) != 2 or len(up.shape) != 2 or down.shape[0] != up.shape[1]:
            raise CheckpointError(
                f"LoRA update of {weight}: A is {down.shape} and B is {up.shape}; their ranks differ."
            )
        updates[weight] = LoraUpdate(down, up, alpha / down.shape[0])
    return updates


def check_lora_fits(updates: Mapping[str, LoraUpdate], weights: Mapping[str, LazyTensor]) -> None:
    """Check that every update fits a weight of the language model.

    Raises:
        CheckpointError: weights are missing or have another shape; all are named.
    """
    problems = []
    for name, update in updates.items():
        shape = (update.up.shape[0], update.down.shape[1])
        if name not in weights:
            problems.append(f"{name}: not in the language model")
        elif weights[name].shape != shape:
            problems.append(f"{name}: update {shape}, language model {weights[name].shape}")
    if problems:
        raise CheckpointError(
            "The checkpoint's LoRA weights do not belong to this language model (MiniGPT-v2 needs "
            "Llama-2-chat 7B):\n  " + "\n  ".join(problems)
        )
