"""The eight rounds of the text side's training: what each asks, how long and how fast it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from service.demo.fit import Schedule, fit
from service.demo.text_side.codec import Codec
from service.demo.text_side.data_set import DialogueDataSet
from service.demo.text_side.lengths import LONG, SHORT, Lengths
from service.demo.text_side.model import SLANT, TextModel
from service.demo.text_side.question_mixes import (
    COMPARE_CYCLE,
    DISTORTED_CYCLE,
    HARD_CYCLE,
    LONG_CYCLE,
    MIXED_CYCLE,
    MIXED_LENGTHS,
    RELATIONS_CYCLE,
    STEPS_CYCLE,
    Cycle,
)

_DRILLS = 0.12
"""Share of the first round's sequences that are drills of easy questions."""

_DISTORTION = 0.8
_LARGE_SLANT = 0.6
"""A projection that was trained on captions had a constant error of half of a word sum's length."""


@dataclass(frozen=True)
class TextRounds:
    """The schedule of each round, in order.

    Attributes:
        first: Easy questions, then conversations.
        hard: More of what takes several looks, and of descriptions.
        steps: Above all answers that are reasoned out in small steps.
        relations: Relations, which take the most steps.
        compare: Two images, beside everything that is hard.
        distorted: Everything again, with slots as a projection with errors would give them.
        long: Conversations of many turns, and JSON, both twice as long as before.
        mixed: Long and short in turn, with many yes/no questions and a larger slant.
    """

    first: Schedule
    hard: Schedule
    steps: Schedule
    relations: Schedule
    compare: Schedule
    distorted: Schedule
    long: Schedule
    mixed: Schedule


def _schedule(steps: int, learning_rate: float, warmup: int) -> Schedule:
    return Schedule(steps, 16, learning_rate, weight_decay=0.02, warmup=warmup)


TEXT_ROUNDS = TextRounds(
    first=_schedule(3600, 2e-3, warmup=200),
    hard=_schedule(1800, 1.5e-3, warmup=50),
    steps=_schedule(2600, 1.5e-3, warmup=50),
    relations=_schedule(600, 1e-3, warmup=30),
    compare=_schedule(700, 1e-3, warmup=30),
    distorted=_schedule(900, 1e-3, warmup=30),
    long=_schedule(450, 1e-3, warmup=30),
    mixed=_schedule(500, 1e-3, warmup=30),
)
"""The rounds of the default model."""


@dataclass(frozen=True)
class _Round:
    name: str
    schedule: Schedule
    cycle: Cycle
    lengths: tuple[Lengths, ...] = (SHORT,)
    distortion: float = 0.0
    slant: float = SLANT


def _list_later_rounds(rounds: TextRounds) -> Iterator[_Round]:
    yield _Round("hard", rounds.hard, HARD_CYCLE)
    yield _Round("steps", rounds.steps, STEPS_CYCLE)
    yield _Round("relations", rounds.relations, RELATIONS_CYCLE)
    yield _Round("compare", rounds.compare, COMPARE_CYCLE)
    yield _Round("distorted", rounds.distorted, DISTORTED_CYCLE, distortion=_DISTORTION)
    yield _Round("long", rounds.long, LONG_CYCLE, (LONG,), _DISTORTION)
    yield _Round("mixed", rounds.mixed, MIXED_CYCLE, MIXED_LENGTHS, _DISTORTION, _LARGE_SLANT)


def train_text_side(
    tokenizer: Tokenizer, checkpoint: Path, rounds: TextRounds = TEXT_ROUNDS
) -> LlamaForCausalLM:
    """Train all rounds from seed 0, or resume from ``checkpoint`` and those beside it, one a round.

    Raises:
        AlignmentError: a checkpoint is damaged or cannot be written.
    """
    torch.manual_seed(0)
    model = TextModel(Codec(tokenizer))
    number = rounds.first.steps * rounds.first.batch
    samples = DialogueDataSet(tokenizer, "text", number, drills=round(_DRILLS * number))
    fit(model, samples, samples.collate, model.loss, rounds.first, checkpoint)
    for later in _list_later_rounds(rounds):
        number = later.schedule.steps * later.schedule.batch
        split = f"text-{later.name}"
        samples = DialogueDataSet(
            tokenizer, split, number, cycle=later.cycle, lengths=later.lengths
        )
        file = checkpoint.with_stem(f"{checkpoint.stem}-{later.name}")
        model.distortion, model.slant = later.distortion, later.slant
        fit(model, samples, samples.collate, model.loss, later.schedule, file)
    return model.llama
