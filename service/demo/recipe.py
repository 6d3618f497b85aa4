"""How much of everything the default model is made with."""

from dataclasses import dataclass, replace

from service.demo.fit import Schedule
from service.demo.text_side.rounds import TEXT_ROUNDS, TextRounds
from service.demo.vision_side.rounds import (
    READING_SCHEDULE,
    TELLING_SCHEDULE,
    VISION_SCHEDULE,
)
from service.scenes.datasets import SAMPLES
from service.training.presets import PRESETS, Stage


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights besides the code. ``--work`` remembers it.

    Attributes:
        text: Rounds of the text side.
        vision: First round of the vision side.
        reading: Second round of the vision side.
        telling: Last round of the vision side.
        captions: Images of stage 1's data set.
        descriptions: Images of stage 2's data set.
        stage1: Settings of stage 1.
        stage2: Settings of stage 2.
    """

    text: TextRounds = TEXT_ROUNDS
    vision: Schedule = VISION_SCHEDULE
    reading: Schedule = READING_SCHEDULE
    telling: Schedule = TELLING_SCHEDULE
    captions: int = SAMPLES["captions"]
    descriptions: int = SAMPLES["descriptions"]
    stage1: Stage = PRESETS["demo-stage1"]
    stage2: Stage = PRESETS["demo-stage2"]


def _shorten(schedule: Schedule) -> Schedule:
    return replace(schedule, steps=2, batch=2, warmup=1)


FULL = Recipe()
QUICK = Recipe(
    text=TextRounds(*(_shorten(TEXT_ROUNDS.first),) * 8),
    vision=_shorten(VISION_SCHEDULE),
    reading=_shorten(READING_SCHEDULE),
    telling=_shorten(TELLING_SCHEDULE),
    captions=8,
    descriptions=8,
    stage1=replace(PRESETS["demo-stage1"], batch=2, epochs=1, steps_per_epoch=2),
    stage2=replace(PRESETS["demo-stage2"], batch=2, epochs=1, steps_per_epoch=2),
)
"""A few steps of everything, which only show that the build runs."""
