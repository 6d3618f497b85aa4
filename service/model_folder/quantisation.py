"""How a language model is quantised, by what its files say."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.errors import CheckpointError

KEY = "quantization_config"
OLD_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
"""Files of 2023 that say how the weights are quantised, where ``config.json`` does not."""


def read_quantisation(folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """How a language model is quantised; None if it is not.

    Raises:
        CheckpointError: a file that says so cannot be read.
    """
    if config.get(KEY):
        return dict(config[KEY])
    for name, method in OLD_FILES.items():
        file = folder / name
        if file.is_file():
            try:
                facts = json.loads(file.read_text())
                return {"quant_method": method, **facts}
            except (OSError, ValueError, TypeError) as error:
                raise CheckpointError(f"{file} cannot be read: {error}") from error
    return None


def describe_quantisation(quantisation: Mapping[str, Any]) -> str:
    """One phrase: the method, its bits and groups."""
    facts = [str(quantisation.get("quant_method", "unknown method"))]
    bits = quantisation.get("bits") or quantisation.get("w_bit")
    group = quantisation.get("group_size") or quantisation.get("q_group_size")
    if bits:
        facts.append(f"{bits} bits")
    if group:
        facts.append(f"groups of {group}")
    return ", ".join(facts)
