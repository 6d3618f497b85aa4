"""Short runs on a tiny model folder."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from service.model_folder.layout import ModelFolder
from service.training.checkpoint import load_checkpoint
from service.training.lora import LoraSettings
from service.training.model import AlignmentModel
from service.training.presets import PRESETS, Stage
from service.training.processes import Processes
from service.training.run_settings import RunSettings
from service.training.sources import open_data_set
from service.training.tokenization import IGNORED, IMAGE, TokenizedSample
from service.training.trained_parts import Variant
from service.training.trainer import Trainer
from service.training.validation import Validation

STAGE = dataclasses.replace(
    PRESETS["demo-stage1"], batch=4, epochs=2, steps_per_epoch=6, learning_rate=1e-2, warmup_steps=2
)
ONE_STEP = dataclasses.replace(STAGE, epochs=1, steps_per_epoch=1)
TWO_STEPS = dataclasses.replace(STAGE, epochs=1, steps_per_epoch=2)
ALONE = Processes(0, 1, torch.device("cpu"))


def make_trainer(
    folder: Path,
    data: Path,
    out: Path,
    stage: Stage = STAGE,
    variant: Variant = "published",
    fresh: bool = True,
    ratio: float = 1.0,
    lora: LoraSettings | None = None,
    validation: Validation | None = None,
    **settings: Any,
) -> Trainer:
    model = AlignmentModel.load(ModelFolder.open(folder), variant, fresh=fresh, lora=lora)
    run = RunSettings(out, **{"workers": 0, "checkpoint_steps": 3} | settings)
    sources = [open_data_set(str(data))]
    return Trainer(model, stage, sources, [ratio], run, ALONE, variant, validation)


def around_image(before: list[int], after: list[int], target: list[int]) -> TokenizedSample:
    """A sample of one image with text before and after it, and what is learnt."""
    first = [*before, IMAGE, *after]
    return TokenizedSample([*first, *target], [IGNORED] * len(first) + target, 1)


def read_saved_step(trainer: Trainer) -> int:
    """The step of the checkpoint that a run has written."""
    progress = load_checkpoint(trainer.settings.out, trainer.identity)
    assert progress is not None
    return progress.step
