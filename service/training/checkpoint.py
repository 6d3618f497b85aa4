"""Checkpoints of a run: written whole or not at all, so that a full disk or a kill costs no earlier one."""

import io
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from service.errors import AlignmentError

CHECKPOINT = "checkpoint.pt"
PROJECTION = "projection.safetensors"
HISTORY = "history.jsonl"


@dataclass(frozen=True)
class Measured:
    """One line of a run's history; ``loss`` is the mean since the line before."""

    step: int
    loss: float
    learning_rate: float
    samples_per_second: float


@dataclass
class Progress:
    """What a run resumes from.

    Attributes:
        step: Steps done.
        trained: The trained tensors.
        optimiser: AdamW's state.
        settings: What the run was started with; a different run does not resume from it.
        history: Measured losses.
        skipped: Samples skipped so far, by kind.
        taken: By process and its worker, what was taken from each source.
        workers: Of each process; where a process reads by itself, it counts as one.
        losses: By process, those since the history's last line.
    """

    step: int
    trained: dict[str, Tensor]
    optimiser: dict[str, Any]
    settings: dict[str, str]
    history: list[Measured] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    taken: list[dict[int, list[int]]] = field(default_factory=list)
    workers: int = 1
    losses: list[list[float]] = field(default_factory=list)


def save_checkpoint(folder: Path, progress: Progress) -> None:
    """Write checkpoint, projection and history into ``folder`` (created).

    Raises:
        AlignmentError: it cannot be written; the checkpoint before it is untouched.
    """
    buffer = io.BytesIO()
    torch.save(
        {
            "step": progress.step,
            "trained": progress.trained,
            "optimiser": progress.optimiser,
            "settings": progress.settings,
            "history": [asdict(line) for line in progress.history],
            "skipped": progress.skipped,
            "taken": progress.taken,
            "workers": progress.workers,
            "losses": progress.losses,
        },
        buffer,
    )
    lines = "".join(json.dumps(asdict(line)) + "\n" for line in progress.history)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / CHECKPOINT, buffer.getvalue())
        replace_file(folder / PROJECTION, save(progress.trained))
        replace_file(folder / HISTORY, lines.encode())
    except OSError as error:
        raise AlignmentError(
            f"The checkpoint of step {progress.step} cannot be saved in {folder}: {error.strerror}. "
            f"The one before it, if any, is intact; run again to go on from there."
        ) from error


def load_checkpoint(folder: Path, settings: dict[str, str]) -> Progress | None:
    """The run to go on with, or ``None`` where ``folder`` holds none.

    Raises:
        AlignmentError: the checkpoint is damaged or of a run with other settings.
    """
    file = folder / CHECKPOINT
    if not file.exists():
        return None
    try:
        state = torch.load(file, weights_only=True, map_location="cpu")
        _check_same(folder, state["settings"], settings)
        return Progress(**state | {"history": [Measured(**line) for line in state["history"]]})
    except AlignmentError:
        raise
    except Exception as error:
        # Damaged files make torch raise nearly anything.
        raise AlignmentError(f"{file} cannot be read: {error}. Give another folder.") from error


def _check_same(folder: Path, before: dict[str, str], now: dict[str, str]) -> None:
    other = [
        f"{name} was {before.get(name)} and is {value}"
        for name, value in now.items()
        if before.get(name) != value
    ]
    if other:
        raise AlignmentError(
            f"{folder} holds a run with other settings ({'; '.join(other)}). Give another folder."
        )


def replace_file(file: Path, content: bytes) -> None:
    """Write ``content`` beside ``file`` and on the disk, then put it in its place; raises ``OSError``."""
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
