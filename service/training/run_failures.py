"""Failures in the middle of training, as messages that say how to go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from service.errors import AlignmentError
from service.training.checkpoint import PROJECTION


def divergence_error(out: Path, rate: float, highest: float) -> AlignmentError:
    """Make the error for a loss or gradient that is NaN or infinite.

    Args:
        out: Folder of the run.
        rate: Learning rate of the step.
        highest: Learning rate that the run was given.
    """
    return AlignmentError(
        f"The loss or its gradient is not a number any more (learning rate {rate:.3g}). The last "
        f"checkpoint in {out}, if there is one yet, is intact. A lower rate may help. It makes "
        f"another run: give a lower --learning-rate than {highest:g} and another --out. To start "
        f"that run from this one's checkpoint, add --projection {out / PROJECTION}."
    )


@contextmanager
def translate_out_of_memory(device: torch.device, batch: int) -> Iterator[None]:
    """Turn the long error of a full GPU into one line."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise AlignmentError(
            f"{device} has too little free memory for a batch of {batch}: give a smaller --batch. "
            "It makes another run, which needs another --out."
        ) from error


@contextmanager
def translate_worker_death() -> Iterator[None]:
    """Turn the error of a killed data worker into advice.

    PyTorch raises it from a signal handler, so it can come in the middle of a step.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise AlignmentError(
            "A process that decodes images was killed, perhaps because memory ran out; fewer "
            "--workers need less memory. The last checkpoint is intact: run again, with fewer "
            "workers if you like, to resume from it."
        ) from error
