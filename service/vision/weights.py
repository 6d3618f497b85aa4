"""Reading and writing a vision encoder as ``config.json`` + ``model.safetensors``."""

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from service.errors import ModelFolderError
from service.model_folder.vision_config import CONFIG_FILE, WEIGHTS_FILE, load_vision_config
from service.vision.model import VisionEncoder


def load_vision_encoder(folder: Path, dtype: torch.dtype = torch.float32) -> VisionEncoder:
    """Load ``folder`` (``vision/`` of a model folder) on the CPU.

    Raises:
        ModelFolderError: a file is missing or unreadable, or tensors are missing, superfluous or of
            another shape than ``config.json`` says; all of them are named.
    """
    config = load_vision_config(folder)
    weights = folder / WEIGHTS_FILE
    try:
        tensors = load_file(weights)
    except FileNotFoundError:
        raise ModelFolderError(f"{weights} is missing.") from None
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(f"{weights} cannot be read as safetensors: {error}") from error
    with torch.device("meta"):
        encoder = VisionEncoder(config)
    _check_tensors(weights, encoder, tensors)
    encoder.load_state_dict(tensors, assign=True)
    encoder.to(dtype)
    encoder.reset_pixel_statistics()  # after the cast: they stay float32
    return encoder.requires_grad_(False)


def save_vision_encoder(encoder: VisionEncoder, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` into ``folder`` (created)."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    # safetensors lets only the owner read; in a container another user serves.
    (folder / WEIGHTS_FILE).chmod(0o666 & ~_umask())
    (folder / CONFIG_FILE).write_text(encoder.config.model_dump_json(indent=2) + "\n")


def _umask() -> int:
    # It can only be read by setting it.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _check_tensors(file: Path, module: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = [f"missing: {name}" for name in _sorted(expected.keys() - found.keys())]
    problems += [f"unexpected: {name}" for name in _sorted(found.keys() - expected.keys())]
    problems += [
        f"{name} is {found[name]}, {CONFIG_FILE} needs {expected[name]}"
        for name in _sorted(expected.keys() & found.keys())
        if expected[name] != found[name]
    ]
    if problems:
        raise ModelFolderError(
            f"{file} does not hold the encoder that {CONFIG_FILE} beside it describes:\n  "
            + "\n  ".join(problems)
        )


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names)
