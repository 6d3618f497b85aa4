"""The test sets: seeded scenes that alignment never saw, with one question each and its true answer.

Few objects make few different scenes, so that chance draws some of them twice: what is in stage 1's or
stage 2's data set is left out here.
"""

import io
import random
from dataclasses import dataclass, replace
from functools import cache

from PIL import Image

from service.errors import EvaluationError
from service.scenes.conversations.asking import MAKERS, ask
from service.scenes.conversations.descriptions import ALIGNMENT_INSTRUCTIONS
from service.scenes.conversations.two_images import compare
from service.scenes.conversations.wording import Turn
from service.scenes.datasets import SAMPLES
from service.scenes.render import SHIFTED_STYLE, TRAINING_STYLE, RenderSettings, render
from service.scenes.scene import Scene, draw_scene, rng_for

SETS: dict[str, RenderSettings] = {"held-out": TRAINING_STYLE, "shifted": SHIFTED_STYLE}
"""Test sets: drawn as the training pictures are, and drawn differently."""

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
"""Question kinds in the order of the report."""


@dataclass(frozen=True)
class Question:
    """One request and what a true answer to it says.

    Attributes:
        turn: Kind, question and canonical answer.
        scenes: What the images show.
        images: PNG bytes, one for each scene.
        before: What is asked about the same images first, in the same conversation; not judged.
    """

    turn: Turn
    scenes: tuple[Scene, ...]
    images: tuple[bytes, ...]
    before: tuple[str, ...] = ()


def questions(set_name: str, kind: str, number: int, turns_before: int = 0) -> list[Question]:
    """The first ``number`` questions of a kind.

    They are the same on every machine, and the same however many turns come before.

    Raises:
        EvaluationError: there is no such set or kind.
    """
    if set_name not in SETS:
        raise EvaluationError(f"There is no test set {set_name}; there are {', '.join(SETS)}.")
    if kind not in KINDS:
        raise EvaluationError(f"There is no question kind {kind}; there are {', '.join(KINDS)}.")
    found: list[Question] = []
    index = 0
    while len(found) < number:
        question = _question(set_name, kind, index)
        if question is not None:
            rng = rng_for(f"{set_name}/{kind}/before", index)
            found.append(replace(question, before=_before(question, rng, turns_before)))
        index += 1
    return found


def _question(set_name: str, kind: str, index: int) -> Question | None:
    rng = rng_for(f"{set_name}/{kind}", index)
    scenes = tuple(draw_scene(rng) for _ in range(2 if kind == "compare" else 1))
    if not learnt_from().isdisjoint(scenes):
        return None
    if kind == "compare":
        turn = compare(scenes[0], scenes[1], rng)
        if not turn.expected:
            return None
    elif kind == "describe":
        turn = Turn("describe", rng.choice(ALIGNMENT_INSTRUCTIONS), "")
    elif kind == "count":
        turn = ask(scenes[0], rng, "count" if rng.random() < 0.3 else "count_some")
    else:
        turn = ask(scenes[0], rng, kind)
    if turn.kind != kind:
        return None  # the scene allows no such question
    images = tuple(_png(render(scene, rng, SETS[set_name])) for scene in scenes)
    return Question(turn, scenes, images)


def _before(question: Question, rng: random.Random, number: int) -> tuple[str, ...]:
    """Questions of other kinds about the same scenes, each kind once before one comes again.

    About two images there is one kind only.
    """
    found: list[str] = []
    kinds: list[str] = []
    while len(found) < number:
        if len(question.scenes) == 2:
            found.append(compare(*question.scenes, rng).question)
            continue
        kinds = kinds or rng.sample(sorted(MAKERS), len(MAKERS))
        turn = ask(question.scenes[0], rng, kinds.pop())
        if turn.kind != question.turn.kind:
            found.append(turn.question)
    return tuple(found)


@cache
def learnt_from() -> frozenset[Scene]:
    """The scenes of the demo model's two alignment data sets."""
    return frozenset(
        draw_scene(rng_for(split, index))
        for split, number in SAMPLES.items()
        for index in range(number)
    )


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
