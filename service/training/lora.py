"""LoRA on the frozen language model (Hu et al. 2021, arXiv:2106.09685), with peft."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedModel

from service.errors import AlignmentError

if TYPE_CHECKING:
    from peft import PeftModel

ADAPTER = "adapter"
"""Sub-folder of the finished model folder that holds the adapter."""

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""peft's file names."""

LORA_PREFIX = "language_model."
"""Begins the names of LoRA's tensors among the trained ones."""

_TARGETS = ["q_proj", "v_proj"]
"""MiniGPT-v2's: the projections of queries and values of every layer."""


@dataclass(frozen=True)
class LoraSettings:
    """Size of the adapter; the defaults are those released with MiniGPT-v2.

    Attributes:
        rank: Rank of the updates.
        alpha: The updates are scaled by ``alpha / rank``.
        dropout: Share of the adapter's inputs that training drops.
    """

    rank: int = 64
    alpha: float = 16
    dropout: float = 0.05


def check_lora() -> None:
    """Raise :class:`AlignmentError` if peft is not installed."""
    if not find_spec("peft"):
        raise AlignmentError("--lora-rank needs peft: pip install 'minigpt4-service[train]'.")


def add_lora(model: PreTrainedModel, settings: LoraSettings, seed: int) -> "PeftModel":
    """Insert an adapter into ``model``, whose own weights stay frozen.

    Args:
        seed: Of the adapter's random start; its updates start at zero.

    Returns:
        The adapter's owner, which saves it. ``model`` itself computes with the adapter.
    """
    check_lora()
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type] # peft scales by any number
        lora_dropout=settings.dropout,
        target_modules=_TARGETS,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        owner: PeftModel = get_peft_model(model, config)
    owner.eval()
    return owner


def set_dropout(model: nn.Module, *, active: bool) -> None:
    """Switch an adapter's dropout on or off; the frozen model stays in evaluation mode."""
    for name, module in model.named_modules():
        if "lora_dropout" in name:
            module.train(active)


def save_adapter(owner: "PeftModel", folder: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, as peft and vLLM read them.

    Raises:
        OSError: they cannot be written.
    """
    owner.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty form
