"""Whether all tensors of a quantised language model are there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.checkpoints.messages import list_lines
from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor

PARTS = {
    "gptq": ("qweight", "qzeros", "scales"),
    "awq": ("qweight", "qzeros", "scales"),
    "fp8": ("weight", "weight_scale"),
}
"""Tensors of one linear layer; other methods are checked by the engine's loader only."""

LINEAR_LAYERS = (
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
)


def check_quantised_weights(
    folder: Path,
    config: Mapping[str, Any],
    quantisation: Mapping[str, Any],
    tensors: Mapping[str, LazyTensor],
) -> None:
    """Check that each linear layer has the tensors of its method.

    Raises:
        CheckpointError: tensors are missing; all are named.
    """
    parts = PARTS.get(str(quantisation.get("quant_method")))
    if parts is None:
        return
    if parts == PARTS["fp8"] and not any(name.endswith("_scale") for name in tensors):
        parts = ("weight",)  # scales of blocks have another name
    skipped = quantisation.get("modules_to_not_convert") or ()
    layers = min(int(config["num_hidden_layers"]), len(tensors))
    expected = {"model.embed_tokens.weight", "model.norm.weight"} | {
        f"model.layers.{layer}.{linear}.{part}"
        for layer in range(layers)
        for linear in LINEAR_LAYERS
        if not any(name in f"model.layers.{layer}.{linear}" for name in skipped)
        for part in parts
    }
    if missing := sorted(expected - tensors.keys()):
        method = quantisation["quant_method"]
        raise CheckpointError(
            f"{folder} is not the {method} model that its files describe:\n  "
            + list_lines([f"missing: {name}" for name in missing])
        )
