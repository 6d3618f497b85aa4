"""Fit one side of the default model, seeded and resumable, with the projection's training loop."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from service.errors import AlignmentError
from service.training.loop import group_by_decay, run_steps
from service.training.schedules import cosine_after_warmup
from service.training.state_file import read_state, write_state

REPORT_EVERY = 25
"""Steps between two lines of progress."""

LossAndFigures = tuple[Tensor, dict[str, float]]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: a linear warm-up, then a cosine down to zero.

    Attributes:
        steps: Steps of the whole round.
        batch: Samples of one step.
        learning_rate: Highest rate, where the warm-up ends.
        weight_decay: AdamW's; biases have none.
        warmup: Steps of the warm-up.
        save_every: Steps between checkpoints.
    """

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup: int = 200
    save_every: int = 200

    def rate(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        return cosine_after_warmup(
            step, steps=self.steps, warmup_steps=self.warmup, highest=self.learning_rate
        )


def fit(
    module: nn.Module,
    samples: Dataset[Any],
    collate: Callable[[list[Any]], Any],
    loss_of: Callable[[Any], LossAndFigures],
    schedule: Schedule,
    checkpoint: Path,
    workers: int = 1,
) -> None:
    """Train ``module`` in place, or resume from ``checkpoint`` if it exists.

    Args:
        module: In float32. Its state dict is saved, so random numbers that ``loss_of`` draws must
            come from a generator in it (``get_extra_state``).
        samples: Sample ``i`` is made from seed ``i``, so that a resumed run sees the same samples.
        collate: Makes a batch of samples.
        loss_of: Loss of a batch, and figures to print.
        schedule: Steps, batch size and rates.
        workers: Processes that make samples; 0 makes them in this process.

    Raises:
        AlignmentError: the checkpoint is damaged or cannot be written.
    """
    fitting = _Fitting(module, loss_of, schedule, checkpoint)
    first = fitting.resume()
    rest = Subset(samples, range(first * schedule.batch, schedule.steps * schedule.batch))
    batches = DataLoader(rest, schedule.batch, num_workers=workers, collate_fn=collate)
    module.train()
    run_steps(fitting, batches, schedule, fitting.optimiser, first, "cpu")
    module.eval()


class _Fitting:
    """What :func:`~service.training.loop.run_steps` needs to know about one round."""

    def __init__(
        self,
        module: nn.Module,
        loss_of: Callable[[Any], LossAndFigures],
        schedule: Schedule,
        checkpoint: Path,
    ) -> None:
        self.optimiser = torch.optim.AdamW(
            group_by_decay(
                (p for p in module.parameters() if p.requires_grad), schedule.weight_decay
            ),
            lr=schedule.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self._module, self._loss_of = module, loss_of
        self._schedule, self._checkpoint = schedule, checkpoint
        self._first, self._started = 0, time.monotonic()
        self._losses: list[float] = []
        self._figures: dict[str, float] = {}

    def resume(self) -> int:
        """Load the checkpoint, if there is one; returns the first step to do."""
        state = read_state(self._checkpoint)
        if state is not None:
            self._module.load_state_dict(state["module"])
            self.optimiser.load_state_dict(state["optimiser"])
            self._first = int(state["step"])
        self._started = time.monotonic()
        return self._first

    def compute_loss(self, batch: Any, number: int) -> Tensor:
        """Return the loss of a batch."""
        del number
        loss, self._figures = self._loss_of(batch)
        return loss

    def prepare_gradients(self, loss: float, rate: float) -> None:
        """Clip the gradients to a norm of 1."""
        del loss, rate
        nn.utils.clip_grad_norm_(self._module.parameters(), 1.0)

    def finish_step(self, done: int, loss: float, rate: float) -> None:
        """Report and save every few steps, and at the end."""
        del rate
        self._losses.append(loss)
        is_last = done == self._schedule.steps
        if done % REPORT_EVERY == 0 or is_last:
            self._report(done)
        if done % self._schedule.save_every == 0 or is_last:
            self._save(done)

    def _report(self, done: int) -> None:
        steps = self._schedule.steps
        steps_per_second = (done - self._first) / (time.monotonic() - self._started)
        mean = sum(self._losses) / len(self._losses)
        figures = " ".join(f"{name} {value:.3f}" for name, value in self._figures.items())
        print(
            f"step {done}/{steps} loss {mean:.4f} {figures} "
            f"{steps_per_second * self._schedule.batch:.0f} samples/s, "
            f"{(steps - done) / steps_per_second:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
        self._losses.clear()

    def _save(self, step: int) -> None:
        state = {
            "module": self._module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": step,
        }
        try:
            self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
            write_state(self._checkpoint, state)
        except OSError as error:
            raise AlignmentError(
                f"{self._checkpoint} cannot be written at step {step}: {error.strerror}. An "
                "earlier checkpoint, if there is one, is intact; run again to resume from it."
            ) from error
