"""The finished model folder: the one that training started from, with the trained tensors."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from service import __version__
from service.model_folder.layout import INDEX_FILE, ModelFolder, Provenance, write_index
from service.model_folder.vision_config import CONFIG_FILE, WEIGHTS_FILE, VisionConfig
from service.tensors.hashing import sha256
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import read_checkpoint
from service.tensors.writing import write_safetensors
from service.vision.choice import make_encoder

_ORIGIN = "trained from"


def write_finished_folder(
    folder: ModelFolder,
    config: VisionConfig,
    trained: Mapping[str, Tensor],
    target: Path,
    notes: list[str],
    *,
    copy: bool,
) -> None:
    """Write a complete model folder.

    Args:
        folder: The folder that training started from. Frozen tensors are copied from it in their
            stored format, whatever format they had in training.
        config: The shape of the trained encoder.
        trained: The trained tensors by their names in the encoder.
        target: The folder to write.
        notes: Lines for the provenance.
        copy: Copy a language model that is on this disk. Otherwise the index refers to it.

    Raises:
        OSError: the folder cannot be written.
        CheckpointError: the folder that training started from has changed meanwhile.
    """
    target.mkdir(parents=True, exist_ok=True)
    # Only a complete folder has an index, so it is removed first and written last.
    (target / INDEX_FILE).unlink(missing_ok=True)
    _write_vision(folder.vision, config, trained, target / "vision")
    shutil.copytree(folder.tokenizer, target / "tokenizer", dirs_exist_ok=True)
    language_model = folder.language_model
    if copy and folder.language_model_is_local:
        shutil.copytree(language_model, target / "language_model", dirs_exist_ok=True)
        language_model = "language_model"
    update = {
        "visual_tokens": config.visual_tokens,
        "vision": "vision",
        "tokenizer": "tokenizer",
        "language_model": language_model,
        "without_qformer": folder.family.uses_qformer and config.qformer is None,
        "provenance": Provenance(
            made_by=f"align {__version__}", sources=_list_sources(folder, target), notes=notes
        ),
    }
    write_index(target, folder.index.model_copy(update=update))


def _write_vision(
    source: Path, config: VisionConfig, trained: Mapping[str, Tensor], target: Path
) -> None:
    stored = read_checkpoint(source / WEIGHTS_FILE).tensors
    with torch.device("meta"):
        names = list(make_encoder(config).state_dict())
    target.mkdir(exist_ok=True)
    write_safetensors(
        target / WEIGHTS_FILE, {name: _select_tensor(name, stored, trained) for name in names}
    )
    (target / CONFIG_FILE).write_text(config.model_dump_json(indent=2) + "\n")


def _select_tensor(
    name: str, stored: Mapping[str, LazyTensor], trained: Mapping[str, Tensor]
) -> LazyTensor:
    if name not in trained:
        return stored[name]
    # A projection of a new form gets the number format of the one that it replaces.
    like = stored.get(name) or next(t for n, t in stored.items() if n.startswith("projection."))
    tensor = trained[name]
    return LazyTensor(tuple(tensor.shape), like.dtype, partial(tensor.to, like.dtype))


def _list_sources(folder: ModelFolder, target: Path) -> dict[str, dict[str, str]]:
    """List the parts' origins: the folder that training started from, and its own sources."""
    before = folder.index.provenance or Provenance(made_by="")
    origin = {
        "name": "/".join(folder.root.parts[-2:]),
        "made_by": before.made_by,
        "sha256": sha256(folder.vision / WEIGHTS_FILE),
        "notes": " ".join(before.notes),
    }
    # The last stage comes first.
    earlier = [source for name, source in before.sources.items() if name.startswith(_ORIGIN)]
    origins = {
        _ORIGIN if number == 1 else f"{_ORIGIN} {number}": source
        for number, source in enumerate([origin, *earlier], start=1)
    }
    others = {
        name: source
        for name, source in before.sources.items()
        if name != "vision" and not name.startswith(_ORIGIN)
    }
    vision = {"sha256": sha256(target / "vision" / WEIGHTS_FILE)}
    return {**origins, **others, "vision": vision}
