"""The processes of a run: one, or those that ``torchrun`` started."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from service.errors import AlignmentError

Gathered = TypeVar("Gathered")


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: Number of this process, from 0.
        world: Number of processes.
        device: Where this process computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def say(self, text: str) -> None:
        """Print a line on standard error, from the first process only."""
        if self.is_first:
            print(text, file=sys.stderr, flush=True)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradients by their means over all processes."""
        if self.world == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
            parameter.grad /= self.world

    def broadcast(self, parameters: Iterable[nn.Parameter]) -> None:
        """Copy the first process's values to all others."""
        if self.world == 1:
            return
        for parameter in parameters:
            distributed.broadcast(parameter.data, src=0)

    def mean(self, value: float) -> float:
        """Return the mean of a number over all processes."""
        if self.world == 1:
            return value
        total = torch.tensor(value, device=self.device)
        distributed.all_reduce(total)
        return float(total) / self.world

    def gather(self, value: Gathered) -> list[Gathered]:
        """Return the values of all processes by rank, in every process."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        distributed.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started; without it, this process is the only one.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. With several processes, ``cuda`` is the
            GPU of the process's local rank.

    Raises:
        AlignmentError: the device does not exist.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if world > 1 and device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    found = _find_device(device)
    if found.type == "cuda":
        # NCCL gathers plain objects over the current GPU.
        torch.cuda.set_device(found)
    if world == 1:
        yield Processes(0, 1, found)
        return
    distributed.init_process_group("nccl" if found.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), world, found)
    finally:
        distributed.destroy_process_group()


def _find_device(name: str) -> torch.device:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise AlignmentError(f"The device {name} is unknown: give auto, cpu, cuda or cuda:N.")
    number = int(name.partition(":")[2] or 0)
    if name != "cpu" and number >= torch.cuda.device_count():
        raise AlignmentError(
            f"The device {name} does not exist: PyTorch finds {torch.cuda.device_count()} CUDA "
            "GPUs."
        )
    return torch.device(name) if name == "cpu" else torch.device("cuda", number)
