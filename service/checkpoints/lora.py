"""MiniGPT-v2's low-rank updates of Llama-2's attention (Hu et al. 2021, arXiv:2106.09685)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor

DEFAULT_ALPHA = 16.0
"""MiniGPT-v2's lora_alpha. The update is scaled by alpha / rank: 16 / 64."""

# peft 0.2, which the original pins, names lora_A itself; later ones its adapter, "default".
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

    def merged(self, base: Tensor) -> Tensor:
        """The updated matrix in the dtype of ``base``; computed in float32."""
        up, down = self.up.load().float(), self.down.load().float()
        return torch.addmm(base.float(), up, down, alpha=self.scale).to(base.dtype)


def is_lora(name: str) -> bool:
    """Whether a tensor of a checkpoint is half of a LoRA update."""
    return _NAME.fullmatch(name) is not None


def lora_updates(entries: Mapping[str, LazyTensor], alpha: float) -> dict[str, LoraUpdate]:
    """The updates in a MiniGPT-v2 checkpoint, by the language model's name of the weight.

    Raises:
        CheckpointError: a half is missing, or halves do not fit each other.
    """
    halves: dict[str, dict[str, LazyTensor]] = {}
    for name, entry in entries.items():
        if match := _NAME.fullmatch(name):
            halves.setdefault(f"{match['module']}.weight", {})[match["side"]] = entry
    updates = {}
    for weight, sides in halves.items():
        down, up = sides.get("A"), sides.get("B")
        if down is None or up is None:
            raise CheckpointError(f"The checkpoint holds only half of the LoRA update of {weight}.")
        if len(down.shape) != 2 or len(up.shape) != 2 or down.shape[0] != up.shape[1]:
            raise CheckpointError(
                f"LoRA of {weight}: A is {down.shape} and B {up.shape}; their rank differs."
            )
        updates[weight] = LoraUpdate(down, up, alpha / down.shape[0])
    return updates


def check_updates(updates: Mapping[str, LoraUpdate], model: Mapping[str, LazyTensor]) -> None:
    """Refuse updates that do not fit the language model.

    Raises:
        CheckpointError: a weight is not in the model or of another shape; all are named.
    """
    problems = []
    for weight, update in updates.items():
        shape = (update.up.shape[0], update.down.shape[1])
        if weight not in model:
            problems.append(f"{weight}: not in the language model")
        elif model[weight].shape != shape:
            problems.append(f"{weight}: update {shape}, language model {model[weight].shape}")
    if problems:
        raise CheckpointError(
            "The checkpoint's LoRA weights do not belong to this language model (MiniGPT-v2 needs "
            "Llama-2-chat 7B):\n  " + "\n  ".join(problems)
        )
