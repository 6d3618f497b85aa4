"""A projection in its own file: from ``align``, or a published ``.pth`` checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from service.errors import CheckpointError, ModelFolderError, ProjectionError
from service.model_folder.fingerprint import fingerprint
from service.model_folder.layout import INDEX_FILE, ModelFolder
from service.model_folder.vision_config import WEIGHTS_FILE, VisionConfig, format_width
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import read_checkpoint

PREFIXES = ("projection.", "llama_proj.")
"""Prefixes of a projection's tensors, in our files and in the published ones."""

FORMS = ("",), ("0.", "2.", "4.")
"""Prefixes of the linear layers: one layer, or three with GELU between them."""

BUFFERS = ("inv_freq", "position_ids")
"""Suffixes of tensors in published files that were not trained."""

_FROZEN = ("vit.", "backbone.", "ln_vision.", "qformer.", "query_tokens")
"""A model folder's file also holds its encoder."""

FACTS = {
    "family": "the family",
    "visual_tokens": "the number of visual tokens",
    "encoder": "the vision encoder",
    "language_model": "the language model",
}
"""Facts about the frozen parts that a file may contain, and their names in messages."""


@dataclass(frozen=True)
class ProjectionFile:
    """A projection that fits the served model.

    Attributes:
        name: The model's name for clients.
        tensors: By their names in the module: ``weight`` and ``bias``, or ``0.weight`` and so on.
        layers: 1, or 3 with GELU between them.
        digest: Hash (hex) of the tensors: equal digests mean equal projections.
        checked: Whether the file says which parts it was trained between.
    """

    name: str
    path: Path
    tensors: Mapping[str, Tensor]
    layers: int
    digest: str
    checked: bool


def read_projection(
    name: str, path: Path, config: VisionConfig, facts: Mapping[str, str]
) -> ProjectionFile:
    """Read a projection and check that it fits the served model.

    Args:
        name: The name to serve it by.
        path: A file, or a model folder, whose projection is taken.
        config: The served encoder.
        facts: :func:`service.model_folder.fingerprint.fingerprint` of the served folder.

    Raises:
        ProjectionError: it cannot be read or belongs to another model. The message begins with its
            name.
    """
    try:
        file = _find_file(path)
        lazy = _select(read_checkpoint(file).tensors)
        layers = _check_shapes(lazy, config)
        tensors = {key: lazy[key].load().float() for key in sorted(lazy)}
        if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise ProjectionError("it holds numbers that are not finite.")
        stated = _read_facts(path, file)
        _check_facts(stated, facts)
    except (ProjectionError, CheckpointError, ModelFolderError, OSError) as error:
        raise ProjectionError(f"Projection {name} ({path}): {error}") from error
    return ProjectionFile(name, path, tensors, layers, _digest(tensors), bool(stated))


def _find_file(path: Path) -> Path:
    if (path / INDEX_FILE).is_file():
        return path / "vision" / WEIGHTS_FILE
    if path.is_dir():
        raise ProjectionError("the folder is not a model folder. Give a file, or a model folder.")
    return path


def _select(tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """The projection's tensors; refuses files that also trained other parts."""
    for prefix in PREFIXES:
        found = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        if not found:
            continue
        others = [name for name in tensors if not name.startswith((prefix, *_FROZEN))]
        others = [name for name in others if not name.endswith(BUFFERS)]
        if others:
            raise ProjectionError(
                f"it holds more than a projection ({min(others)}). Import it as a model of its own."
            )
        return found
    raise ProjectionError(f"it holds no tensors {' or '.join(f'{p}*' for p in PREFIXES)}.")


def _check_shapes(tensors: Mapping[str, LazyTensor], config: VisionConfig) -> int:
    modules = next(
        (
            modules
            for modules in FORMS
            if tensors.keys() == {f"{m}{part}" for m in modules for part in ("weight", "bias")}
        ),
        None,
    )
    if modules is None:
        raise ProjectionError(f"its tensors are of no known form: {', '.join(sorted(tensors))}.")
    width, depth = config.hidden_size, config.projection_width
    for number, module in enumerate(modules):
        wanted = (width, width if number else depth)
        found = tensors[f"{module}weight"].shape
        if found != wanted or tensors[f"{module}bias"].shape != (width,):
            raise ProjectionError(
                f"it maps features of {found[-1]} to embeddings of {format_width(found[0])}; this "
                f"model needs {wanted[1]} and {format_width(width)}."
            )
    return len(modules)


def _read_facts(path: Path, file: Path) -> dict[str, str]:
    if file != path:
        return fingerprint(ModelFolder.open(path))
    if file.suffix != ".safetensors":
        return {}
    try:
        with safe_open(file, framework="pt") as content:
            return {key: text for key, text in (content.metadata() or {}).items() if key in FACTS}
    except SafetensorError as error:
        raise ProjectionError(str(error)) from error


def _check_facts(stated: Mapping[str, str], served: Mapping[str, str]) -> None:
    for key, noun in FACTS.items():
        if key in stated and key in served and stated[key] != served[key]:
            raise ProjectionError(
                f"it was trained with another model: {noun} is {stated[key]} there and "
                f"{served[key]} here."
            )


def _digest(tensors: Mapping[str, Tensor]) -> str:
    whole = blake2b(digest_size=32)
    for name, tensor in tensors.items():
        whole.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return whole.hexdigest()
