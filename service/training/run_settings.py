"""The settings of a run besides its stage."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunSettings:
    """Where a run writes, and how it reads its data.

    Attributes:
        out: Folder of checkpoints, curves and the finished model folder.
        seed: Of the data's order and the instructions.
        workers: Processes that read and decode images; 0 does it in the training process.
        checkpoint_steps: Steps between checkpoints, at least 1. The end of each epoch has one as
            well.
        keep_every: Steps between numbered checkpoints, which are kept; 0 keeps one for each epoch.
        strict: Fail at the first bad sample.
        copy_language_model: Copy the language model into the finished folder.
        notes: Lines for the finished folder's provenance.
    """

    out: Path
    seed: int = 0
    workers: int = 2
    checkpoint_steps: int = 500
    keep_every: int = 0
    strict: bool = False
    copy_language_model: bool = False
    notes: tuple[str, ...] = ()
