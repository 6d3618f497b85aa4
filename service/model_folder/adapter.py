"""Check a LoRA adapter in peft's format (Hu et al. 2021) before the engine reads it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.errors import AdapterError, CheckpointError
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import read_checkpoint

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
NAME = re.compile(
    r"base_model\.model\.model\.layers\.(?P<layer>\d+)\.(?:self_attn|mlp)\."
    r"(?P<module>[a-z]+)_proj\.lora_(?P<side>[AB])\.weight"
)


def check_adapter(folder: Path, language_model: Mapping[str, Any], max_rank: int) -> None:
    """Check that an adapter fits the language model; read only headers.

    Args:
        folder: peft's folder.
        language_model: ``config.json`` of the served language model.
        max_rank: The engine's ``--max-lora-rank``.

    Raises:
        AdapterError: it cannot be read or is of another model; the message begins with its path.
    """
    try:
        rank = _read_rank(folder)
        if rank > max_rank:
            raise AdapterError(f"its rank {rank} is above --max-lora-rank {max_rank}.")
        _check_tensors(read_checkpoint(folder / WEIGHTS_FILE).tensors, language_model)
    except (AdapterError, CheckpointError) as error:
        raise AdapterError(f"The adapter {folder}: {error}") from error


def _read_rank(folder: Path) -> int:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text())
        kind, rank = config["peft_type"], int(config["r"])
    except (OSError, ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise AdapterError(
            f"{CONFIG_FILE} cannot be read: it is not an adapter of peft."
        ) from error
    if kind != "LORA":
        raise AdapterError(f"it is of the kind {kind}; only LORA is served.")
    return rank


def _check_tensors(tensors: Mapping[str, LazyTensor], language_model: Mapping[str, Any]) -> None:
    widths = _list_widths(language_model)
    layers = int(language_model["num_hidden_layers"])
    for name, tensor in sorted(tensors.items()):
        match = NAME.fullmatch(name)
        if match is None or match["module"] not in widths:
            raise AdapterError(f"it adapts {name}, which this language model cannot take.")
        into, out = widths[match["module"]]
        found = tensor.shape[1] if match["side"] == "A" else tensor.shape[0]
        wanted = into if match["side"] == "A" else out
        if found != wanted or int(match["layer"]) >= layers:
            raise AdapterError(
                f"it belongs to another language model: {name} is {found} wide, this model has "
                f"{layers} layers and is {wanted} wide there."
            )
    if not tensors:
        raise AdapterError("it holds no tensors.")


def _list_widths(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Input and output width of each linear layer of a Llama block."""
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    heads = int(config["num_attention_heads"])
    head = int(config.get("head_dim") or hidden // heads)
    queries, keys = heads * head, int(config.get("num_key_value_heads") or heads) * head
    return {
        "q": (hidden, queries),
        "k": (hidden, keys),
        "v": (hidden, keys),
        "o": (queries, hidden),
        "gate": (hidden, inner),
        "up": (hidden, inner),
        "down": (inner, hidden),
    }
