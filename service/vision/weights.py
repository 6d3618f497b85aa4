"""Read and write a vision encoder as ``config.json`` and ``model.safetensors``."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from service.errors import ModelFolderError
from service.model_folder.vision_config import CONFIG_FILE, WEIGHTS_FILE, load_vision_config
from service.vision.choice import make_encoder
from service.vision.projected_encoder import ProjectedEncoder


def load_vision_encoder(folder: Path, dtype: torch.dtype = torch.float32) -> ProjectedEncoder:
    """Load an encoder from ``folder`` (``vision/`` of a model folder) onto the CPU.

    Raises:
        ModelFolderError: a file is missing or unreadable, or the tensors do not match
            ``config.json``. The message names every missing, unexpected or misshapen tensor.
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
        encoder = make_encoder(config)
    _check_tensors(weights, encoder, tensors)
    encoder.load_state_dict(tensors, assign=True)
    encoder.to(dtype)
    encoder.reset_buffers()  # after the cast, because they must stay float32
    return encoder.requires_grad_(False)


def save_vision_encoder(encoder: ProjectedEncoder, folder: Path) -> None:
    """Create ``folder`` and write ``config.json`` and ``model.safetensors`` into it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    # safetensors makes the file readable for its owner only; a container serves as another user.
    (folder / WEIGHTS_FILE).chmod(0o666 & ~_read_umask())
    (folder / CONFIG_FILE).write_text(encoder.config.model_dump_json(indent=2) + "\n")


def _read_umask() -> int:
    # The only way to read the umask is to set it.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _check_tensors(file: Path, module: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = [f"missing: {name}" for name in sorted(expected.keys() - found.keys())]
    problems += [f"unexpected: {name}" for name in sorted(found.keys() - expected.keys())]
    problems += [
        f"{name} is {found[name]}, but {CONFIG_FILE} needs {expected[name]}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name] != found[name]
    ]
    if problems:
        raise ModelFolderError(
            f"The tensors of {file} do not match {CONFIG_FILE} in the same folder:\n  "
            + "\n  ".join(problems)
        )
