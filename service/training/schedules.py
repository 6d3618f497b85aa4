"""Learning rates by step: a linear warm-up, then a cosine.

The two schedules differ in where the cosine starts. Both are kept to the last bit, because the
weights of the default model follow from them.
"""

import math
from typing import Protocol


class Schedule(Protocol):
    """The number of steps of a run, and the learning rate of each step."""

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        ...

    def rate(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        ...


def cosine_over_whole_run(
    step: int, *, steps: int, warmup_steps: int, warmup_rate: float, highest: float, lowest: float
) -> float:
    """Return a rate of the published schedule.

    The cosine counts from the first step of the run, not from the end of the warm-up, as in the
    released code. After a long warm-up it therefore starts below the highest rate.
    """
    if step < warmup_steps:
        return warmup_rate + (highest - warmup_rate) * (step / max(warmup_steps, 1))
    fallen = 0.5 * (1 + math.cos(math.pi * step / steps))
    return lowest + (highest - lowest) * fallen


def cosine_after_warmup(step: int, *, steps: int, warmup_steps: int, highest: float) -> float:
    """Return a rate that rises to the highest one during the warm-up and then falls to zero."""
    if step < warmup_steps:
        return highest * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return highest * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
