"""The identity of a run: a checkpoint is resumed only by a run whose identity is the same."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from service.model_folder.layout import ModelFolder
from service.training.presets import Stage
from service.training.samples import Source

_DIGITS = 16


def identify_data(sources: Sequence[Source], ratios: Sequence[float]) -> dict[str, str]:
    """Return the names of the data sets, and how often a batch comes from each."""
    return {
        "data": ", ".join(source.name for source in sources),
        "ratios": ":".join(f"{ratio:g}" for ratio in ratios),
    }


def identify_stage(stage: Stage) -> dict[str, str]:
    """Return every setting of a stage."""
    return {name: str(value) for name, value in asdict(stage).items()}


def identify_folder(folder: ModelFolder) -> dict[str, str]:
    """Return digests of a model folder's parts, which stay the same when the folder is moved.

    All weights are read, because two models of one architecture differ in nothing else. A language
    model on the hub is identified by its id.
    """
    language_model = folder.language_model
    if folder.language_model_is_local:
        weights = sorted(Path(language_model).glob("*.safetensors"))
        language_model = _digest([Path(language_model) / "config.json", *weights])
    return {
        "vision encoder": _digest(
            [folder.vision / "config.json", folder.vision / "model.safetensors"]
        ),
        "language model": language_model,
        "tokenizer": _digest([folder.tokenizer / "tokenizer.json"]),
    }


def digest_file(file: Path) -> str:
    """Return the first digits of a file's SHA-256."""
    return _digest([file])


def _digest(files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()[:_DIGITS]
