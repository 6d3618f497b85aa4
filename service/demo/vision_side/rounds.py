"""The three rounds of the vision side's training."""

from pathlib import Path

import torch
from torch import Tensor

from service.demo.fit import Schedule, fit
from service.demo.vision_side.labels import SceneLabels
from service.demo.vision_side.model import VisionSideModel
from service.vision.model import VisionEncoder

VISION_SCHEDULE = Schedule(steps=2800, batch=48, learning_rate=1e-3, weight_decay=0.02)
"""The first round: all scenes."""

READING_SCHEDULE = Schedule(steps=1200, batch=48, learning_rate=5e-4, weight_decay=0.02, warmup=50)
"""The second round: every scene has a text, which is the slowest to learn."""

TELLING_SCHEDULE = Schedule(steps=1200, batch=48, learning_rate=6e-4, weight_decay=0.02, warmup=100)
"""The last round: many texts, to tell apart what looks alike (a ring and a 0, *end* and *stop*)."""

_READING_WEIGHT = 4.0
_LATE_HINTS = 0.25
"""By then the patches' labels teach little more, and mostly about the edges of objects."""

_TEXTS = 0.4
"""Share of the last round's scenes with many texts."""


def train_vision_side(
    checkpoint: Path,
    schedule: Schedule = VISION_SCHEDULE,
    reading: Schedule = READING_SCHEDULE,
    telling: Schedule = TELLING_SCHEDULE,
) -> VisionEncoder:
    """Train all rounds from seed 0, or resume from ``checkpoint`` and those beside it, one a round.

    Returns:
        The encoder. Its projection has not learnt anything.

    Raises:
        AlignmentError: a checkpoint is damaged or cannot be written.
    """
    torch.manual_seed(0)
    model = VisionSideModel()

    def train(samples: SceneLabels, schedule: Schedule, suffix: str = "") -> None:
        file = checkpoint.with_stem(f"{checkpoint.stem}{suffix}")
        fit(model, samples, _stack, model.loss, schedule, file)

    train(SceneLabels("vision", schedule.steps * schedule.batch), schedule)
    model.reading_weight = _READING_WEIGHT
    train(SceneLabels("reading", reading.steps * reading.batch, written=True), reading, "-reading")
    model.hints = _LATE_HINTS
    train(SceneLabels("telling", telling.steps * telling.batch, texts=_TEXTS), telling, "-telling")
    return model.encoder


def _stack(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
