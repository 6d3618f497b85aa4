"""Checkpoints of an alignment run."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from service.errors import AlignmentError
from service.training.lora import LORA_PREFIX
from service.training.state_file import damaged_file_error, read_state, replace_file, write_state

CHECKPOINT = "checkpoint.pt"
PROJECTION = "projection.safetensors"
"""The trained tensors without LoRA's, which the finished folder holds as an adapter."""

BEST = "best.safetensors"
"""The trained tensors with the lowest validation loss."""

NUMBERED = "checkpoints"
"""Sub-folder of the trained tensors of earlier steps, ``step-000400.safetensors``."""

HISTORY = "history.jsonl"


@dataclass(frozen=True)
class HistoryLine:
    """One line of a run's history.

    Attributes:
        step: Steps done.
        loss: Mean since the line before.
        learning_rate: Of the last step.
        samples_per_second: Of all processes, since this process started.
    """

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
        settings: What the run was started with; a run with other settings does not resume from it.
        history: The history so far.
        skipped: Number of skipped samples by kind.
        taken: For each process and each of its workers, how many samples it took from each source.
        workers: Workers of each process; a process that reads its data itself counts as one.
        losses: For each process, its losses since the last line of the history.
        validations: Steps and validation losses so far.
        facts: The frozen parts of the training, so that the service can check them.
    """

    step: int
    trained: dict[str, Tensor]
    optimiser: dict[str, Any]
    settings: dict[str, str]
    history: list[HistoryLine] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    taken: list[dict[int, list[int]]] = field(default_factory=list)
    workers: int = 1
    losses: list[list[float]] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def is_best(self) -> bool:
        """Whether this step's validation loss is the lowest so far."""
        steps = dict(self.validations)
        return self.step in steps and steps[self.step] == min(steps.values())


def save_checkpoint(folder: Path, progress: Progress, *, numbered: bool = False) -> None:
    """Write checkpoint, projection and history into ``folder``, which is created.

    Args:
        numbered: Also keep the trained tensors under the step's number.

    Raises:
        AlignmentError: they cannot be written; the earlier checkpoint is untouched.
    """
    history = [asdict(line) for line in progress.history]
    lines = "".join(json.dumps(line) + "\n" for line in history)
    state = {
        "step": progress.step,
        "trained": progress.trained,
        "optimiser": progress.optimiser,
        "settings": progress.settings,
        "history": history,
        "skipped": progress.skipped,
        "taken": progress.taken,
        "workers": progress.workers,
        "losses": progress.losses,
        "validations": progress.validations,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trained = save(progress.trained, metadata=progress.facts or None)
        # Before the state: a run that ends in between writes the same files again.
        if progress.is_best:
            replace_file(folder / BEST, trained)
        if numbered:
            (folder / NUMBERED).mkdir(exist_ok=True)
            replace_file(folder / NUMBERED / f"step-{progress.step:06}.safetensors", trained)
        write_state(folder / CHECKPOINT, state)
        projection = {n: t for n, t in progress.trained.items() if not n.startswith(LORA_PREFIX)}
        replace_file(folder / PROJECTION, save(projection, metadata=progress.facts or None))
        replace_file(folder / HISTORY, lines.encode())
    except OSError as error:
        raise AlignmentError(
            f"The checkpoint of step {progress.step} cannot be saved in {folder}: "
            f"{error.strerror}. An earlier checkpoint, if there is one, is intact; run again to "
            "resume from it."
        ) from error


def load_checkpoint(folder: Path, settings: dict[str, str]) -> Progress | None:
    """Load the progress of the run in ``folder``; None if there is no checkpoint.

    Raises:
        AlignmentError: the checkpoint is damaged, or belongs to a run with other settings.
    """
    state = read_state(folder / CHECKPOINT)
    if state is None:
        return None
    try:
        _check_settings(folder, state["settings"], settings)
        history = [HistoryLine(**line) for line in state["history"]]
        return Progress(**state | {"history": history})
    except (KeyError, TypeError, AttributeError) as error:
        raise damaged_file_error(folder / CHECKPOINT) from error


def _check_settings(folder: Path, before: dict[str, str], now: dict[str, str]) -> None:
    changed = [
        f"{name} was {before.get(name)} and is {value}"
        for name, value in now.items()
        if before.get(name) != value
    ]
    if changed:
        raise AlignmentError(
            f"{folder} holds a run with other settings ({'; '.join(changed)}). Give another folder."
        )
