"""What goes wrong in the middle of training, said so that a person can go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from service.errors import AlignmentError
from service.training.checkpoint import PROJECTION


def diverged(out: Path, rate: float, highest: float) -> AlignmentError:
    """The error of a loss that is no number; ``rate`` is the step's, ``highest`` the one given."""
    return AlignmentError(
        f"The loss or its gradient is not a number any more (learning rate {rate:.3g}); the last "
        f"checkpoint in {out}, if there is one yet, is intact. A lower rate may help, which makes it "
        f"another run: give a lower --learning-rate than {highest:g} and another --out, and where that "
        f"run is to begin with this one's checkpoint, --projection {out / PROJECTION}."
    )


@contextmanager
def full_memory_named(device: torch.device, batch: int) -> Iterator[None]:
    """Turn a full GPU's error into ours, of one line."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise AlignmentError(
            f"{device} has too little free memory for a batch of {batch}: give a smaller --batch, which "
            "makes it another run, and another --out."
        ) from error


@contextmanager
def worker_deaths_named() -> Iterator[None]:
    """The loader's signal handler may raise anywhere, in the middle of a step as well."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise AlignmentError(
            "A process that decodes images was killed, perhaps because memory ran out: fewer --workers "
            "need less. The last checkpoint is intact; run again, with fewer of them if you like, to go on "
            "from it."
        ) from error
