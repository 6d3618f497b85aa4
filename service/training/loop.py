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

    def compute_loss(self, batch: BatchT, step: int) -> Tensor:
        """Return the loss of a batch, a scalar with gradients."""
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
) -> None:
    """Train from step ``first`` to the last step of the schedule.

    Args:
        batches: One for each step from ``first`` on; may be endless.
        device: A ``torch.device``'s type.
    """
    for step, batch in enumerate(batches, start=first):
        rate = schedule.rate(step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        with fast_arithmetic(device):
            loss = task.compute_loss(batch, step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        value = float(loss.detach())
        task.prepare_gradients(value, rate)
        optimiser.step()
        task.finish_step(step + 1, value, rate)
        if step + 1 == schedule.steps:
            return


def group_by_decay(parameters: Iterable[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Group parameters for AdamW: weight decay for matrices, none for biases and norms."""
    known = list(parameters)
    return [
        {"params": [p for p in known if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in known if p.ndim < 2], "weight_decay": 0.0},
    ]
