"""The one training loop: the projection's trainer and the demo model's two sides all use it."""

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from service.training.precision import fast_arithmetic
from service.training.schedules import Schedule

BatchT = TypeVar("BatchT", contravariant=True)


class Task(Protocol[BatchT]):
    """What differs between two kinds of training."""

    def compute_loss(self, batch: BatchT, number: int) -> Tensor:
        """Return the loss of a batch, a scalar with gradients; ``number`` counts the batches."""
        ...

    def prepare_gradients(self, loss: float, rate: float) -> None:
        """Check or change the gradients before the weights are updated."""
        ...

    def finish_step(self, done: int, loss: float, rate: float) -> None:
        """Report and save, when ``done`` steps of the run are done."""
        ...


def run_steps(
    task: Task[BatchT],
    batches: Iterable[BatchT],
    schedule: Schedule,
    optimiser: torch.optim.Optimizer,
    first: int,
    device: str,
    accumulate: int = 1,
) -> None:
    """Train from step ``first`` to the last step of the schedule.

    Args:
        batches: ``accumulate`` of them for each step from ``first`` on; may be endless.
        device: A ``torch.device``'s type.
        accumulate: Batches of one step. The step's loss is the mean of their losses.
    """
    source = iter(batches)
    for step in range(first, schedule.steps):
        rate = schedule.rate(step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        value = 0.0
        for number in range(step * accumulate, (step + 1) * accumulate):
            with fast_arithmetic(device):
                loss = task.compute_loss(next(source), number) / accumulate
            loss.backward()
            value += float(loss.detach())
        task.prepare_gradients(value, rate)
        optimiser.step()
        task.finish_step(step + 1, value, rate)


def group_by_decay(parameters: Iterable[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Group parameters for AdamW: weight decay for matrices, none for biases and norms."""
    known = list(parameters)
    return [
        {"params": [p for p in known if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in known if p.ndim < 2], "weight_decay": 0.0},
    ]
