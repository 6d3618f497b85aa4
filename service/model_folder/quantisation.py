"""Read the quantisation of a language model from its files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.errors import CheckpointError

KEY = "quantization_config"
OLD_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
"""Files of older folders with the quantisation, which newer folders have in ``config.json``."""


def read_quantisation(folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the quantisation of a language model; None without one.

    Raises:
        CheckpointError: a file cannot be read.
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
    """Return a phrase with the method, its bits and groups."""
    facts = [str(quantisation.get("quant_method", "unknown method"))]
    bits = quantisation.get("bits") or quantisation.get("w_bit")
    group = quantisation.get("group_size") or quantisation.get("q_group_size")
    if bits:
        facts.append(f"{bits} bits")
    if group:
        facts.append(f"groups of {group}")
    return ", ".join(facts)
