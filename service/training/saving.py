"""The finished model folder: the one trained from, with what has learned in its place."""

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
from service.vision.model import VisionEncoder

_ORIGIN = "trained from"


def write_folder(
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
        folder: What was trained from. Its tensors are taken as they are stored, whatever a run held them in.
        config, trained: The encoder's form and, by their names in it, the tensors that learned.
        copy: Copy a language model that is on this disk; otherwise the index names it.

    Raises:
        OSError: it cannot be written.
        CheckpointError: the folder trained from changed meanwhile.
    """
    target.mkdir(parents=True, exist_ok=True)
    # A folder with an index is whole, also where writing it anew fails.
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
            made_by=f"align {__version__}", sources=_sources(folder, target), notes=notes
        ),
    }
    write_index(target, folder.index.model_copy(update=update))


def _write_vision(
    source: Path, config: VisionConfig, trained: Mapping[str, Tensor], target: Path
) -> None:
    stored = read_checkpoint(source / WEIGHTS_FILE).tensors
    with torch.device("meta"):
        names = list(VisionEncoder(config).state_dict())
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
    # A projection in a form of its own is kept as the folder keeps the one that it replaces.
    like = stored.get(name) or next(e for n, e in stored.items() if n.startswith("projection."))
    tensor = trained[name]
    return LazyTensor(tuple(tensor.shape), like.dtype, partial(tensor.to, like.dtype))


def _sources(folder: ModelFolder, target: Path) -> dict[str, dict[str, str]]:
    """Where the parts come from: what the folder trained from knows of it, and that folder itself."""
    before = folder.index.provenance or Provenance(made_by="")
    origin = {
        "name": "/".join(folder.root.parts[-2:]),
        "made_by": before.made_by,
        "sha256": sha256(folder.vision / WEIGHTS_FILE),
        "notes": " ".join(before.notes),
    }
    # Of several stages the last comes first.
    earlier = [source for name, source in before.sources.items() if name.startswith(_ORIGIN)]
    origins = {
        _ORIGIN if number == 1 else f"{_ORIGIN} {number}": source
        for number, source in enumerate([origin, *earlier], start=1)
    }
    kept = {
        name: source
        for name, source in before.sources.items()
        if name != "vision" and not name.startswith(_ORIGIN)
    }
    vision = {"sha256": sha256(target / "vision" / WEIGHTS_FILE)}
    return {**origins, **kept, "vision": vision}
