"""Load the frozen language model, if asked for in 8 or 4 bits. An incomplete one is refused."""

import logging
from importlib.util import find_spec
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PreTrainedModel,
)

from service.errors import AlignmentError

Bits = Literal[4, 8]

_NAMED = 3
"""Tensors that a message names."""

_UNLOADABLE = (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, SafetensorError)
"""Errors of transformers for folders and hub ids that it cannot load."""


def load_language_model(
    reference: str, dtype: torch.dtype, device: torch.device, bits: Bits | None = None
) -> PreTrainedModel:
    """Load a language model from a folder or a hub id, frozen.

    Args:
        dtype: Of the weights, or of the arithmetic with quantised weights.
        bits: Quantise the linear layers with bitsandbytes: LLM.int8() or NF4 (Dettmers et al. 2022,
            arXiv:2208.07339; 2023, arXiv:2305.14314). Embeddings and head keep ``dtype``.

    Raises:
        AlignmentError: it cannot be loaded, is quantised already, or lacks a tensor, for which
            transformers would use random numbers; or bitsandbytes is not installed.
        torch.OutOfMemoryError: the device has too little memory.
    """
    options: dict[str, Any] = {"dtype": dtype}
    if bits is not None:
        options |= {"quantization_config": _quantise(bits, dtype), "device_map": {"": device}}
    try:
        quantised = getattr(AutoConfig.from_pretrained(reference), "quantization_config", None)
        if quantised is None:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                reference, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
    except torch.OutOfMemoryError:
        raise
    except _UNLOADABLE as error:
        raise AlignmentError(f"The language model {reference} cannot be loaded: {error}") from error
    if quantised is not None:
        raise AlignmentError(
            f"The language model {reference} is quantised (quantization_config in its "
            "config.json). Training needs its weights in 16 or 32 bits: give the model that it "
            "was made from. --language-model-bits quantises it while it is loaded."
        )
    model, found = loaded
    _check_complete(reference, found)
    frozen: PreTrainedModel = model if bits else model.to(device)
    return frozen.eval().requires_grad_(False)


def check_bits(bits: Bits | None) -> None:
    """Raise :class:`AlignmentError` if the packages for quantised weights are not installed."""
    missing = [name for name in ("accelerate", "bitsandbytes") if bits and not find_spec(name)]
    if missing:
        raise AlignmentError(
            f"--language-model-bits needs {' and '.join(missing)}: pip install "
            "'minigpt4-service[train]'."
        )


def enable_gradient_checkpointing(model: PreTrainedModel) -> None:
    """Keep only each layer's input for the backward pass, and compute the rest again.

    transformers does that for layers in training mode only. The layers themselves are set to that
    mode, and their modules stay in evaluation mode, so no dropout begins.
    """
    model.gradient_checkpointing_enable({"use_reentrant": False})
    layers: Any = model.base_model.layers
    for layer in layers:
        layer.training = True


def _quantise(bits: Bits, dtype: torch.dtype) -> BitsAndBytesConfig:
    check_bits(bits)
    # It warns at every product that it computes in float16.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=True,
    )


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
