"""One process or several: what ``torchrun`` starts, reduced to what a run needs."""

import os
import re
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
        rank, world: Its number, and how many there are.
        device: Where it computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Mean of the gradients over all processes, in place."""
        if self.world == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
            parameter.grad /= self.world

    def share(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the first one's values."""
        if self.world == 1:
            return
        for parameter in parameters:
            distributed.broadcast(parameter.data, src=0)

    def mean(self, value: float) -> float:
        """Mean of a number over all processes."""
        if self.world == 1:
            return value
        total = torch.tensor(value, device=self.device)
        distributed.all_reduce(total)
        return float(total) / self.world

    def gather(self, value: Gathered) -> list[Gathered]:
        """What each process gives, by rank, in every process."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        distributed.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait for the others."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the run that ``torchrun`` started, or be alone.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; with several processes each takes the GPU of
            its local rank.

    Raises:
        AlignmentError: there is no such device.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    wanted = device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if world > 1 and wanted == "cuda":
        wanted = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    place = _device(wanted)
    if place.type == "cuda":
        # What the processes gather of plain objects goes over the current GPU.
        torch.cuda.set_device(place)
    if world == 1:
        yield Processes(0, 1, place)
        return
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), world, place)
    finally:
        distributed.destroy_process_group()


def _device(name: str) -> torch.device:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise AlignmentError(f"The device {name} is none of auto, cpu, cuda and cuda:N.")
    number = int(name.partition(":")[2] or 0)
    if name != "cpu" and number >= torch.cuda.device_count():
        raise AlignmentError(
            f"The device {name} is not there: PyTorch sees {torch.cuda.device_count()} CUDA GPUs."
        )
    return torch.device(name) if name == "cpu" else torch.device("cuda", number)
