"""Load the frozen language model. An incomplete or quantised one is refused."""

from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

from service.errors import AlignmentError

_NAMED = 3
"""Tensors that a message names."""

_UNLOADABLE = (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, SafetensorError)
"""Errors of transformers for folders and hub ids that it cannot load."""


def load_language_model(
    reference: str, dtype: torch.dtype, device: torch.device
) -> LlamaForCausalLM:
    """Load a language model from a folder or a hub id, frozen.

    Raises:
        AlignmentError: it cannot be loaded, is quantised, or lacks a tensor, for which transformers
            would use random numbers.
        torch.OutOfMemoryError: the device has too little memory.
    """
    try:
        quantised = getattr(AutoConfig.from_pretrained(reference), "quantization_config", None)
        if quantised is None:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                reference, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
            )
    except torch.OutOfMemoryError:
        raise
    except _UNLOADABLE as error:
        raise AlignmentError(f"The language model {reference} cannot be loaded: {error}") from error
    if quantised is not None:
        raise AlignmentError(
            f"The language model {reference} is quantised (quantization_config in its "
            "config.json). Training needs its weights in 16 or 32 bits: give the model that it "
            "was made from."
        )
    model, found = loaded
    _check_complete(reference, found)
    frozen: LlamaForCausalLM = model.to(device).eval().requires_grad_(False)
    return frozen


def _check_complete(reference: str, found: dict[str, Any]) -> None:
    missing = sorted(found["missing_keys"])
    mismatched = sorted(
        f"{name} is {tuple(in_file)}, not {tuple(configured)}"
        for name, in_file, configured in found["mismatched_keys"]
    )
    for fault, names in (("lacks", missing), ("does not fit its config.json:", mismatched)):
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            raise AlignmentError(
                f"The language model {reference} {fault} {', '.join(names[:_NAMED])}{more}. Copy "
                "or download it again."
            )
