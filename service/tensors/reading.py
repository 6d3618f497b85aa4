"""Checkpoint files and folders of shards, opened without reading the tensors' values.

Only headers are read here. A tensor's values are read when :meth:`LazyTensor.load` is called, so
memory stays near the largest tensor whatever the size of the file.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.pickle_format import read_pickle
from service.tensors.safetensors_format import read_safetensors

INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
# How a file begins when a failed download stored something else in its place.
_FAILED_DOWNLOADS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself: run `git lfs pull`.",
    b"<!doctype": "is a web page, not a checkpoint: the download was refused or needs a log-in.",
    b"<html": "is a web page, not a checkpoint: the download was refused or needs a log-in.",
}


@dataclass(frozen=True)
class Checkpoint:
    """The content of one file, or of a folder of shards.

    Attributes:
        tensors: By name. In a training checkpoint these are the tensors below ``model``.
        training: The entries ``config`` and ``epoch`` of a training checkpoint, where it has them.
        files: Every file that was opened, for hashing.
        missing_shards: Shards that a folder's index names and that are not in the folder.
    """

    tensors: dict[str, LazyTensor]
    training: dict[str, Any]
    files: list[Path]
    missing_shards: list[Path] = field(default_factory=list)


def read_checkpoint(path: Path) -> Checkpoint:
    """Open a ``.pth``, ``.bin`` or ``.safetensors`` file, or a Hugging Face folder of them.

    Raises:
        CheckpointError: it is unreadable, unsafe, incomplete or not a checkpoint; the message says
            what to do.
    """
    if path.is_dir():
        return _read_folder(path)
    _refuse_failed_download(path)
    if path.suffix == ".safetensors":
        return Checkpoint(read_safetensors(path), {}, [path])
    tensors, training = _split_training_checkpoint(read_pickle(path))
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors that this importer can find.")
    return Checkpoint(tensors, training, [path])


def _read_folder(folder: Path) -> Checkpoint:
    for index_name in INDEX_FILES:
        index = folder / index_name
        if index.is_file():
            return _read_shards(folder, index)
    for name in SINGLE_FILES:
        if (folder / name).is_file():
            single = read_checkpoint(folder / name)
            return Checkpoint(single.tensors, {}, single.files)
    # Quantised models of 2023 name their only file after themselves.
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        single = read_checkpoint(others[0])
        return Checkpoint(single.tensors, {}, single.files)
    raise CheckpointError(
        f"{folder} holds none of {', '.join((*SINGLE_FILES, *INDEX_FILES))}: it is not a Hugging Face "
        "model folder, or its download is incomplete."
    )


def _read_shards(folder: Path, index: Path) -> Checkpoint:
    _refuse_failed_download(index)
    try:
        weight_map: dict[str, str] = json.loads(index.read_text())["weight_map"]
        shards = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CheckpointError(f"{index} is not a shard index: {error}") from error
    if any(Path(shard).name != shard for shard in shards):
        raise CheckpointError(f"{index} names files outside its folder.")
    present = [shard for shard in shards if (folder / shard).is_file()]
    tensors: dict[str, LazyTensor] = {}
    for shard in present:
        tensors |= read_checkpoint(folder / shard).tensors
    lost = sorted(
        name for name, shard in weight_map.items() if shard in present and name not in tensors
    )
    if lost:
        raise CheckpointError(f"{index} lists tensors that no shard holds: {', '.join(lost[:8])}")
    missing = [folder / shard for shard in shards if shard not in present]
    return Checkpoint(tensors, {}, [index, *(folder / shard for shard in present)], missing)


def _refuse_failed_download(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            start = stream.read(64).lstrip().lower()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error
    for beginning, explanation in _FAILED_DOWNLOADS.items():
        if start.startswith(beginning):
            raise CheckpointError(f"{file} {explanation}")


def _split_training_checkpoint(content: Any) -> tuple[dict[str, LazyTensor], dict[str, Any]]:
    if not isinstance(content, dict):
        return {}, {}
    for key in ("model", "state_dict"):
        if isinstance(content.get(key), dict):
            training = {other: content[other] for other in ("config", "epoch") if other in content}
            return _select_tensors(content[key]), training
    return _select_tensors(content), {}


def _select_tensors(content: dict[Any, Any]) -> dict[str, LazyTensor]:
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, LazyTensor)
    }
