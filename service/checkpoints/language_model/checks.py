"""Checks of a language model: complete weights, no delta weights, the version of its family."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.checkpoints.messages import list_lines
from service.errors import CheckpointError
from service.families import FamilyName
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import Checkpoint

MAX_DELTA_NORM = 0.1
"""Root mean square of the final norm's weight below which the weights are differences to LLaMA's.

The norm multiplies every output by this weight, which is about 1 before training and above 1 in
LLaMA. The difference between two trained versions of it is below 0.01.
"""

LLAMA2_CONTEXT, LLAMA2_EPS = 4096, 1e-5

_LAYER_WEIGHTS = (
    "input_layernorm",
    "post_attention_layernorm",
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
)


def check_weights(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, LazyTensor]
) -> None:
    """Check that the tensors are those of the Llama that the configuration describes.

    Raises:
        CheckpointError: tensors are missing, unexpected or of another shape; all are named.
    """
    expected = {"model.embed_tokens.weight", "model.norm.weight"}
    if not config.get("tie_word_embeddings"):
        expected.add("lm_head.weight")
    # The number of tensors bounds the loop, because a damaged configuration may name any number of
    # layers.
    for layer in range(min(int(config["num_hidden_layers"]), len(tensors))):
        expected |= {f"model.layers.{layer}.{part}.weight" for part in _LAYER_WEIGHTS}
    unexpected = [
        name
        for name in tensors.keys() - expected
        if not name.endswith("rotary_emb.inv_freq") and name != "lm_head.weight"
    ]
    problems = [f"missing: {name}" for name in sorted(expected - tensors.keys())]
    problems += [f"unexpected: {name}" for name in sorted(unexpected)]
    table = tensors.get("model.embed_tokens.weight")
    shape = (int(config["vocab_size"]), int(config["hidden_size"]))
    if table is not None and table.shape != shape:
        problems.append(f"model.embed_tokens.weight is {table.shape}, config.json needs {shape}")
    if problems:
        raise CheckpointError(
            f"{folder} is not the Llama that its config.json describes:\n  " + list_lines(problems)
        )


def refuse_delta(source: str, config: Mapping[str, Any], weights: Checkpoint | None) -> None:
    """Refuse delta weights, by the final norm's weight or, without weights, by name.

    Raises:
        CheckpointError: with the command that adds them to LLaMA's weights.
    """
    names = (Path(source).name, str(config.get("_name_or_path", "")))
    has_delta_name = any(re.search(r"(^|[-_./])delta([-_./]|$)", name.lower()) for name in names)
    norm = weights.tensors.get("model.norm.weight") if weights is not None else None
    scale = None if norm is None else norm.load().float().square().mean().sqrt().item()
    # Merged weights may be in a folder that still has the old name, so the weights decide where
    # there are any.
    is_delta = has_delta_name if scale is None else scale < MAX_DELTA_NORM
    if is_delta:
        reason = (
            "by its name"
            if scale is None
            else f"its final norm's weight is {scale:.4f} on average, where a language model has about 1"
        )
        raise CheckpointError(
            f"{source} holds delta weights ({reason}): the differences between Vicuna and LLaMA, which "
            "answer with nonsense. Add them to LLaMA's weights of the same size first (`python -m "
            f"fastchat.model.apply_delta --base LLAMA --delta {source} --target VICUNA`), then give "
            "the result; or give a folder with complete weights of Vicuna v0."
        )


def warn_of_version(source: str, config: Mapping[str, Any], family: FamilyName) -> list[str]:
    """Warn of a version with which the import works but answers get worse."""
    names = f"{Path(source).name} {config.get('_name_or_path', '')}".lower()
    version = re.search(r"v?1[._](1|3|5)\b", names) if "vicuna" in names else None
    is_llama2 = (
        float(config.get("max_position_embeddings") or 0) >= LLAMA2_CONTEXT
        or float(config.get("rms_norm_eps") or 0) == LLAMA2_EPS
    )
    if family == "minigpt4-vicuna" and (version or is_llama2):
        found = f"v1.{version[1]}" if version else "v1.5, or another model made from Llama-2"
        return [
            f"The language model looks like Vicuna {found}. The published projections were trained "
            "with Vicuna v0, and later versions use another conversation format: it will answer, but "
            "worse."
        ]
    if family != "minigpt4-vicuna" and not is_llama2 and config.get("max_position_embeddings"):
        return [
            "The language model looks like LLaMA-1 or Vicuna v0; this family's published checkpoints "
            "were trained with Llama-2-chat 7B."
        ]
    return []
