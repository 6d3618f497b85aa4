"""What a run trained, in the layout of the original's checkpoints, or as a model folder."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from service.checkpoints.layouts.minigpt4 import ORIGINAL_MODEL
from service.errors import AlignmentError
from service.families import COMPOSED
from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import WEIGHTS_FILE, load_vision_config
from service.training.finished_folder import write_finished_folder
from service.training.lora import ADAPTER, ADAPTER_CONFIG, ADAPTER_WEIGHTS, LORA_PREFIX

_PEFT = "base_model.model."
_LEARNS_WITH_QFORMER = ("qformer.", "query_tokens")
_ARCHITECTURES = {"minigpt-v2": "minigpt_v2"}


def read_trained(folder: ModelFolder, file: Path | None, *, qformer: bool) -> dict[str, Tensor]:
    """Return the trained tensors, named as in a run's ``projection.safetensors``.

    Args:
        file: One of a run's files of trained tensors; None takes those of the folder.
        qformer: Take the folder's Q-Former and query tokens as well.

    Raises:
        AlignmentError: a file cannot be read, or its projection does not fit the folder.
    """
    stored = _read(folder.vision / WEIGHTS_FILE)
    projection = {n: tensor for n, tensor in stored.items() if n.startswith("projection.")}
    if file is not None:
        trained = _read(file)
        wanted = {name: tensor.shape for name, tensor in projection.items()}
        found = {n: tensor.shape for n, tensor in trained.items() if n.startswith("projection.")}
        if found != wanted:
            raise AlignmentError(f"{file} does not fit {folder.root}: its projection differs.")
        return trained
    adapter = folder.root / ADAPTER / ADAPTER_WEIGHTS
    lora = _read(adapter) if adapter.is_file() else {}
    others = {
        n: tensor for n, tensor in stored.items() if qformer and n.startswith(_LEARNS_WITH_QFORMER)
    }
    return projection | others | {_name_lora(name): tensor for name, tensor in lora.items()}


def write_original(folder: ModelFolder, trained: Mapping[str, Tensor], target: Path) -> None:
    """Write a checkpoint as the original's training does, without an optimiser.

    Raises:
        AlignmentError: the original has no such model: composed, or with a projection of several
            layers.
        OSError: the file cannot be written.
    """
    config = load_vision_config(folder.vision)
    if folder.family.name == COMPOSED:
        raise AlignmentError(
            f"{folder.root} is a composed model, which the original's layout cannot hold. Give --out a "
            "folder's name."
        )
    if config.projection_layers > 1:
        raise AlignmentError(
            f"{folder.root} has a projection of {config.projection_layers} layers; the original's "
            "layout holds one layer."
        )
    model: dict[str, Any] = {
        "arch": _ARCHITECTURES.get(folder.family.name, "minigpt4"),
        "image_size": config.image_size,
        "has_qformer": config.qformer is not None,
    }
    adapter = folder.root / ADAPTER / ADAPTER_CONFIG
    if adapter.is_file() and any(name.startswith(LORA_PREFIX) for name in trained):
        settings = json.loads(adapter.read_text())
        model |= {"lora_r": settings["r"], "lora_alpha": settings["lora_alpha"]}
    tensors = {_name_as_original(name): tensor for name, tensor in trained.items()}
    state = {"model": tensors, "optimizer": {}, "config": {"model": model}, "epoch": 0}
    torch.save({**state, "scaler": None}, target)


def write_folder(folder: ModelFolder, trained: Mapping[str, Tensor], target: Path) -> None:
    """Write a model folder with these trained tensors in place of the folder's own.

    Raises:
        AlignmentError: LoRA's settings are missing, or ``target`` is the folder itself.
        OSError: the folder cannot be written.
    """
    if target.resolve() == folder.root:
        raise AlignmentError(f"{target} would be overwritten; give another --out.")
    lora = {name: tensor for name, tensor in trained.items() if name.startswith(LORA_PREFIX)}
    if lora:
        settings = folder.root / ADAPTER / ADAPTER_CONFIG
        if not settings.is_file():
            raise AlignmentError(f"{settings} is missing: it belongs to the LoRA that was trained.")
        (target / ADAPTER).mkdir(parents=True, exist_ok=True)
        shutil.copy(settings, target / ADAPTER / ADAPTER_CONFIG)
        tensors = {
            _PEFT + name.removeprefix(LORA_PREFIX).replace(".default", ""): tensor.contiguous()
            for name, tensor in lora.items()
        }
        save_file(tensors, target / ADAPTER / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    others = {name: tensor for name, tensor in trained.items() if name not in lora}
    write_finished_folder(
        folder, load_vision_config(folder.vision), others, target, ["Exported."], copy=False
    )


def _name_lora(name: str) -> str:
    return LORA_PREFIX + re.sub(r"(lora_[AB])\.", r"\1.default.", name.removeprefix(_PEFT))


def _name_as_original(name: str) -> str:
    if name.startswith(LORA_PREFIX):
        return f"llama_model.{_PEFT}{name.removeprefix(LORA_PREFIX).replace('.default', '')}"
    return ORIGINAL_MODEL.original_name(name)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise AlignmentError(f"{file} cannot be read as safetensors: {error}") from error
