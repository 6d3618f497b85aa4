"""Reference, link or copy a language model into a model folder, or write new weights."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from service.checkpoints.language_model.folder import LanguageModel
from service.checkpoints.lora import LoraUpdate, check_lora_fits
from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.writing import write_shards

Placement = Literal["reference", "link", "copy"]


def place_language_model(model: LanguageModel, placement: Placement, target: Path) -> str:
    """Reference, link or copy the language model; return the index's ``language_model``.

    Args:
        target: ``language_model/`` of the new folder; created unless the model is only referenced.

    Raises:
        CheckpointError: a hard link is impossible, because the source is on another file system.
    """
    if placement == "reference":
        return model.source if model.is_hub_id else str(model.folder)
    if model.weights is None:
        raise AssertionError("bug: placing a language model whose weights were not downloaded")
    target.mkdir()
    for file in [*model.config_files, *model.weights.files]:
        try:
            if placement == "link":
                # In the hub's cache the file is a symbolic link; link to the file itself.
                os.link(file.resolve(), target / file.name)
            else:
                shutil.copyfile(file, target / file.name)
        except OSError as error:
            raise CheckpointError(
                f"{file} cannot be put into {target}: {error.strerror}. Hard links need the same file "
                "system; --llm-files copy or reference work everywhere."
            ) from error
    return target.name


def write_language_model(
    model: LanguageModel, updates: Mapping[str, LoraUpdate], target: Path
) -> str:
    """Write the language model as safetensors, with its LoRA updates.

    Returns the index's ``language_model``.

    Args:
        target: ``language_model/`` of the new folder; created.
    """
    if model.weights is None:
        raise AssertionError("bug: writing a language model whose weights were not downloaded")
    target.mkdir()
    for file in model.config_files:
        shutil.copyfile(file, target / file.name)
    write_shards(
        target,
        {
            name: _apply_update(weight, updates.get(name))
            for name, weight in model.weights.tensors.items()
            if not name.endswith("rotary_emb.inv_freq")
        },
    )
    return target.name


def check_mergeable(model: LanguageModel, updates: Mapping[str, LoraUpdate]) -> None:
    """Check that the LoRA updates can be merged; raises :class:`CheckpointError`."""
    if "quantization_config" in model.config:
        raise CheckpointError(
            f"{model.source} is quantised; MiniGPT-v2's LoRA weights can be added to unquantised "
            "weights only. Give Llama-2-chat 7B in float16, and quantise the result."
        )
    check_lora_fits(updates, model.weights.tensors if model.weights else {})


def _apply_update(weight: LazyTensor, update: LoraUpdate | None) -> LazyTensor:
    if update is None:
        return weight
    return LazyTensor(weight.shape, weight.dtype, lambda: update.apply(weight.load()))
