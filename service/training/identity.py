"""What makes a run the same run: only then does it go on from its checkpoint."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from service.model_folder.layout import ModelFolder
from service.training.presets import Stage
from service.training.samples import Source

_DIGITS = 16


def described_data(sources: Sequence[Source], ratios: Sequence[float]) -> dict[str, str]:
    """The data sets, and how often a batch comes from each."""
    return {
        "data": ", ".join(source.name for source in sources),
        "ratios": ":".join(f"{ratio:g}" for ratio in ratios),
    }


def described_stage(stage: Stage) -> dict[str, str]:
    """Every setting of a stage."""
    return {name: str(value) for name, value in asdict(stage).items()}


def described_folder(folder: ModelFolder) -> dict[str, str]:
    """The parts of a model folder by their content, so that a folder may be moved.

    Weights are read whole: two models of one architecture differ in nothing else. A language model of the
    hub is known by its id alone.
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


def file_digest(file: Path) -> str:
    """The first digits of a file's SHA-256."""
    return _digest([file])


def _digest(files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()[:_DIGITS]
