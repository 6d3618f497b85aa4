"""The training settings of each stage as data: those released with MiniGPT-4, and the demo model's.

Source: the training configurations in the authors' repository (``train_configs/``). The paper (Zhu
et al. 2023, section 3) differs in places: it gives stage 2 400 steps, and its batch of 256 in stage
1 is the released 64 on each of four GPUs.
"""

from dataclasses import dataclass
from typing import Literal

from service.training.schedules import cosine_over_whole_run

StageName = Literal["stage1", "stage2"]


@dataclass(frozen=True)
class Stage:
    """One stage of the alignment.

    Attributes:
        name: ``stage1`` (captions, no tags) or ``stage2`` (instruction format): the format of
            samples.
        batch: Samples of one batch on one device.
        epochs: Number of epochs; a checkpoint ends each.
        steps_per_epoch: Steps of one epoch.
        learning_rate: Highest rate, where the warm-up ends.
        final_learning_rate: Rate at the end of the cosine.
        warmup_steps: Steps of the linear warm-up.
        warmup_learning_rate: Rate of the first step.
        weight_decay: AdamW's; biases have none.
        target_tokens: Longest target in tokens; the rest is cut.
        initial_scale: Factor on the random start of a new projection's last layer. Directions that
            no caption corrects keep the length that they start with.
        accumulate: Batches of one step.
        lora_rank: Rank of LoRA on the language model; 0 trains none.
        lora_alpha: LoRA's updates are scaled by ``lora_alpha / lora_rank``.
        lora_dropout: Share of LoRA's inputs that training drops.
        crop_scale: Smallest share of an image's area that a sample shows. Each time the sample
            comes, it is cropped differently; 1 keeps the whole image.
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
    accumulate: int = 1
    lora_rank: int = 0
    lora_alpha: float = 16.0
    lora_dropout: float = 0.05

    @property
    def steps(self) -> int:
        """Steps of the whole stage."""
        return self.epochs * self.steps_per_epoch

    @property
    def samples_per_step(self) -> int:
        """Samples of one step on one device."""
        return self.batch * self.accumulate

    def rate(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 0."""
        return cosine_over_whole_run(
            step,
            steps=self.steps,
            warmup_steps=self.warmup_steps,
            warmup_rate=self.warmup_learning_rate,
            highest=self.learning_rate,
            lowest=self.final_learning_rate,
        )


PRESETS: dict[str, Stage] = {
    "stage1": Stage("stage1", 64, 4, 5000, 1e-4, 8e-5, 5000, 1e-6, 0.05, 32),
    "stage2": Stage("stage2", 12, 5, 200, 3e-5, 1e-5, 200, 1e-6, 0.05, 160),
    # The paper's number of steps (section 4.1); its other settings are the released ones.
    "paper-stage2": Stage("stage2", 12, 2, 200, 3e-5, 1e-5, 200, 1e-6, 0.05, 160),
    # Four GPUs, 24 samples a step (Chen et al. 2023, arXiv:2310.09478, section 4). The released
    # file gives a final rate of 8e-5, above its highest rate of 1e-5, which the paper contradicts.
    "minigpt-v2-stage3": Stage(
        "stage2", 6, 35, 1000, 1e-5, 1e-6, 1000, 1e-6, 0.05, 1024, lora_rank=64
    ),
    # A small projection learns with larger steps.
    "demo-stage1": Stage("stage1", 32, 6, 600, 1e-3, 5e-5, 60, 1e-5, 0.1, 32, initial_scale=0.05),
    "demo-stage2": Stage("stage2", 24, 10, 100, 3e-4, 1e-5, 20, 1e-5, 0.1, 160),
}
"""Presets by name: as released, as in the papers, and the demo model's."""

LAION_TO_CC_SBU = (115, 14)
"""How often a stage-1 batch comes from LAION and how often from CC and SBU, as released."""
