"""The test sets: seeded scenes that alignment never saw, with a question and its true answer.

There are few different scenes with few objects, so chance draws some of them again. Scenes in the
data sets of stage 1 and stage 2 are left out here.
"""

import io
import random
from dataclasses import dataclass, replace
from functools import cache

from PIL import Image

from service.errors import EvaluationError
from service.prompt.instructions import STAGE2_INSTRUCTIONS
from service.scenes.conversations.asking import MAKERS, ask
from service.scenes.conversations.two_images import compare
from service.scenes.conversations.wording import Turn
from service.scenes.datasets import SAMPLES
from service.scenes.render import render
from service.scenes.render_settings import SHIFTED_STYLE, TRAINING_STYLE, RenderSettings
from service.scenes.scene import Scene, draw_scene, rng_for

SETS: dict[str, RenderSettings] = {"held-out": TRAINING_STYLE, "shifted": SHIFTED_STYLE}
"""Test sets: scenes drawn in the style of the training pictures, and in another style."""

KINDS = (
    "colour",
    "shape",
    "count",
    "exists",
    "relation",
    "where",
    "size",
    "place",
    "background",
    "written",
    "compare",
    "json",
    "describe",
    "poem",
)
"""Kinds of questions, in the order of the report."""


@dataclass(frozen=True)
class Question:
    """One request, and the true answer to it.

    Attributes:
        turn: Kind, question and canonical answer.
        scenes: The scenes in the images.
        images: PNG bytes, one for each scene.
        before: Questions about the same images that come first in the conversation; their answers
            are not checked.
    """

    turn: Turn
    scenes: tuple[Scene, ...]
    images: tuple[bytes, ...]
    before: tuple[str, ...] = ()


def make_questions(set_name: str, kind: str, number: int, turns_before: int = 0) -> list[Question]:
    """Make the first ``number`` questions of a kind.

    They are the same on every machine and for every number of turns before.

    Raises:
        EvaluationError: there is no such set or kind.
    """
    if set_name not in SETS:
        raise EvaluationError(f"There is no test set {set_name}; there are {', '.join(SETS)}.")
    if kind not in KINDS:
        raise EvaluationError(f"There is no question kind {kind}; there are {', '.join(KINDS)}.")
    questions: list[Question] = []
    index = 0
    while len(questions) < number:
        question = _make_question(set_name, kind, index)
        if question is not None:
            rng = rng_for(f"{set_name}/{kind}/before", index)
            before = _draw_earlier_questions(question, rng, turns_before)
            questions.append(replace(question, before=before))
        index += 1
    return questions


def _make_question(set_name: str, kind: str, index: int) -> Question | None:
    rng = rng_for(f"{set_name}/{kind}", index)
    scenes = tuple(draw_scene(rng) for _ in range(2 if kind == "compare" else 1))
    if not collect_training_scenes().isdisjoint(scenes):
        return None
    if kind == "compare":
        turn = compare(scenes[0], scenes[1], rng)
        if not turn.expected:
            return None
    elif kind == "describe":
        turn = Turn("describe", rng.choice(STAGE2_INSTRUCTIONS), "")
    elif kind == "count":
        turn = ask(scenes[0], rng, "count" if rng.random() < 0.3 else "count_some")
    else:
        turn = ask(scenes[0], rng, kind)
    if turn.kind != kind:
        return None  # no such question is possible about this scene
    images = tuple(_encode_png(render(scene, rng, SETS[set_name])) for scene in scenes)
    return Question(turn, scenes, images)


def _draw_earlier_questions(question: Question, rng: random.Random, number: int) -> tuple[str, ...]:
    """Draw questions of other kinds about the same scenes; all kinds come before one repeats.

    About two images there is only one kind of question.
    """
    texts: list[str] = []
    kinds: list[str] = []
    while len(texts) < number:
        if len(question.scenes) == 2:
            texts.append(compare(*question.scenes, rng).question)
            continue
        kinds = kinds or rng.sample(sorted(MAKERS), len(MAKERS))
        turn = ask(question.scenes[0], rng, kinds.pop())
        if turn.kind != question.turn.kind:
            texts.append(turn.question)
    return tuple(texts)


@cache
def collect_training_scenes() -> frozenset[Scene]:
    """Return the scenes in the demo model's two alignment data sets."""
    return frozenset(
        draw_scene(rng_for(split, index))
        for split, number in SAMPLES.items()
        for index in range(number)
    )


def _encode_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
