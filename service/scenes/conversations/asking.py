"""Every kind of question about one image, and how often it is asked."""

import random
from collections.abc import Callable

from service.scenes.conversations.attributes import (
    ask_background,
    ask_colour,
    ask_shape,
    ask_size,
    ask_written,
)
from service.scenes.conversations.counting import ask_count, ask_existence, ask_total
from service.scenes.conversations.descriptions import (
    ask_caption,
    ask_description,
    ask_json,
    ask_poem,
)
from service.scenes.conversations.places import ask_object_at, ask_place_of, ask_relation
from service.scenes.conversations.small_talk import NO_IMAGE, ask_unanswerable
from service.scenes.conversations.wording import Turn
from service.scenes.scene import Scene

Maker = Callable[[Scene, random.Random], Turn | None]

MAKERS: dict[str, tuple[Maker, float]] = {
    "describe": (ask_description, 1.2),
    "caption": (ask_caption, 0.6),
    "count": (ask_total, 0.5),
    "count_some": (ask_count, 1.3),
    "colour": (ask_colour, 1.0),
    "shape": (ask_shape, 1.0),
    "size": (ask_size, 0.5),
    "where": (ask_place_of, 1.0),
    "place": (ask_object_at, 0.8),
    "relation": (ask_relation, 1.6),
    "exists": (ask_existence, 1.4),
    "written": (ask_written, 0.6),
    "background": (ask_background, 0.4),
    "poem": (ask_poem, 0.4),
    "json": (ask_json, 0.3),
    "beyond": (ask_unanswerable, 0.15),
}
"""Question kinds: the function that makes the turn, and how often it is asked."""


def ask(scene: Scene, rng: random.Random, kind: str | None = None) -> Turn:
    """Ask a question of this kind, or of any, with its true answer.

    If the scene allows no such question, the question is about the background.
    """
    for _ in range(20):
        chosen = kind or rng.choices(list(MAKERS), [weight for _, weight in MAKERS.values()])[0]
        turn = MAKERS[chosen][0](scene, rng)
        if turn is not None:
            return turn
    return ask_background(scene, rng)


def make_casual(question: str, rng: random.Random) -> str:
    """Word a question as people type it: sometimes without capitals, question mark or full stop."""
    if rng.random() < 0.15:
        question = question[0].lower() + question[1:]
    if rng.random() < 0.12:
        question = question.rstrip("?.")
    if rng.random() < 0.04:
        question = f"Please tell me: {question}"
    return question


def ask_without_image(scene: Scene, rng: random.Random) -> Turn:
    """Ask about an image that was not sent."""
    return Turn("no_image", ask(scene, rng).question, NO_IMAGE, images=0)
