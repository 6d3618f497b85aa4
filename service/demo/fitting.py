"""The small training loop that the text side and the vision side share: resumable and seeded."""

import io
import math
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
from service.training.checkpoint import replace_file
from service.training.precision import fast_arithmetic

REPORT_EVERY = 25


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: linear warm-up, then a cosine down to zero.

    Attributes:
        steps, batch, warmup: Steps in all, samples a step, steps of warm-up.
        learning_rate, weight_decay: AdamW's.
        save_every: Steps between checkpoints.
    """

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup: int = 200
    save_every: int = 200

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))


def fit(
    module: nn.Module,
    samples: Dataset[Any],
    collate: Callable[[list[Any]], Any],
    loss_of: Callable[[Any], tuple[Tensor, dict[str, float]]],
    schedule: Schedule,
    checkpoint: Path,
    workers: int = 1,
) -> None:
    """Train ``module`` in place; goes on from ``checkpoint`` where that exists.

    Args:
        module: What is trained and saved, in float32.
        samples: Sample ``i`` is made from seed ``i``, so that a resumed run sees what it would have.
        loss_of: Loss of a collated batch, and figures to print. What it draws is the module's to keep
            (``get_extra_state``).

    Raises:
        AlignmentError: a checkpoint cannot be written.
    """
    optimiser = torch.optim.AdamW(
        _groups(module, schedule.weight_decay),
        lr=schedule.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    first = _resume(checkpoint, module, optimiser)
    rest = Subset(samples, range(first * schedule.batch, schedule.steps * schedule.batch))
    batches = DataLoader(rest, schedule.batch, num_workers=workers, collate_fn=collate)
    module.train()
    started, losses = time.monotonic(), []
    for step, batch in enumerate(batches, start=first):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        with fast_arithmetic("cpu"):
            loss, figures = loss_of(batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        done = step + 1
        if done % REPORT_EVERY == 0 or done == schedule.steps:
            pace = (done - first) / (time.monotonic() - started)
            shown = " ".join(f"{name} {value:.3f}" for name, value in figures.items())
            print(
                f"step {done}/{schedule.steps} loss {sum(losses) / len(losses):.4f} {shown} "
                f"{pace * schedule.batch:.0f} samples/s, {(schedule.steps - done) / pace:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
            losses.clear()
        if done % schedule.save_every == 0 or done == schedule.steps:
            _save(checkpoint, module, optimiser, done)
    module.eval()


def _groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
    return [
        {"params": matrices, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _save(file: Path, module: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    state = {"module": module.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, buffer.getvalue())
    except OSError as error:
        raise AlignmentError(
            f"{file} cannot be written at step {step}: {error.strerror}. The checkpoint before it, if any, "
            "is intact; run again to go on from there."
        ) from error


def _resume(file: Path, module: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    module.load_state_dict(state["module"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])
