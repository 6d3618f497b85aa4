"""The published training settings as data, and the learning rate they prescribe for each step.

Sources: the paper's section 3 and the released training configurations.
"""

import math
from dataclasses import dataclass
from typing import Literal

StageName = Literal["stage1", "stage2"]


@dataclass(frozen=True)
class Stage:
    """One stage of the alignment.

    Attributes:
        name: ``stage1`` (captions, no tags) or ``stage2`` (instruction format): the format of samples.
        batch: Samples of one step on one device.
        epochs, steps_per_epoch: Their product is the number of steps; a checkpoint ends each epoch.
        learning_rate, final_learning_rate: Ends of the cosine.
        warmup_steps, warmup_learning_rate: Linear warm-up from this rate.
        weight_decay: AdamW's; biases have none.
        target_tokens: Longest target in tokens; the rest is cut.
        initial_scale: A new projection's last layer starts as ``nn.Linear`` draws it, times this. What the
            start has of directions that no caption corrects stays in the embeddings.
        crop_scale: Share of an image's area that a sample shows at least, its crop drawn anew each time; 1
            keeps the whole image.
    """

    name: StageName
    batch: int
    epochs: int
    steps_per_epoch: int
    learning_rate: float
    final_learning_rate: float
    warmup_steps: int
    warmup_learning_rate: float
    weight_decay: float
    target_tokens: int
    initial_scale: float = 1.0
    crop_scale: float = 1.0

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.epochs * self.steps_per_epoch

    def rate(self, step: int) -> float:
        """Learning rate of a step, from 0.

        The cosine is one of the whole run, warm-up included, as in the original: with a long
        warm-up it starts below its top.
        """
        if step < self.warmup_steps:
            risen = step / max(self.warmup_steps, 1)
            rise = (self.learning_rate - self.warmup_learning_rate) * risen
            return self.warmup_learning_rate + rise
        fallen = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * fallen


PRESETS: dict[str, Stage] = {
    "stage1": Stage("stage1", 64, 4, 5000, 1e-4, 8e-5, 5000, 1e-6, 0.05, 32),
    "stage2": Stage("stage2", 12, 5, 200, 3e-5, 1e-5, 200, 1e-6, 0.05, 160),
    # A small projection learns with larger steps; the demo model is made with these.
    "demo-stage1": Stage("stage1", 32, 6, 600, 1e-3, 5e-5, 60, 1e-5, 0.1, 32, initial_scale=0.05),
    "demo-stage2": Stage("stage2", 24, 10, 100, 3e-4, 1e-5, 20, 1e-5, 0.1, 160),
}
"""Presets by name: the two published stages, and the demo model's."""

LAION_TO_CC_SBU = (115, 14)
"""How often a stage-1 batch comes from LAION and how often from CC and SBU, as published."""
