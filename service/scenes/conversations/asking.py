"""Every kind of question about one image, and how often it is asked."""

import random
from collections.abc import Callable

from service.scenes.conversations.attributes import (
    background,
    colour_of,
    shape_of,
    size_of,
    written,
)
from service.scenes.conversations.counting import count_all, count_some, exists
from service.scenes.conversations.descriptions import as_json, caption, describe, poem
from service.scenes.conversations.places import relation, what_is_at, where_is
from service.scenes.conversations.small_talk import NO_IMAGE, beyond
from service.scenes.conversations.wording import Turn
from service.scenes.scene import Scene

Maker = Callable[[Scene, random.Random], Turn | None]

MAKERS: dict[str, tuple[Maker, float]] = {
    "describe": (describe, 1.2),
    "caption": (caption, 0.6),
    "count": (count_all, 0.5),
    "count_some": (count_some, 1.3),
    "colour": (colour_of, 1.0),
    "shape": (shape_of, 1.0),
    "size": (size_of, 0.5),
    "where": (where_is, 1.0),
    "place": (what_is_at, 0.8),
    "relation": (relation, 1.6),
    "exists": (exists, 1.4),
    "written": (written, 0.6),
    "background": (background, 0.4),
    "poem": (poem, 0.4),
    "json": (as_json, 0.3),
    "beyond": (beyond, 0.15),
}
"""Question kinds: who makes the turn, and how often it is asked."""


def ask(scene: Scene, rng: random.Random, kind: str | None = None) -> Turn:
    """A question of this kind (or of any) with its true answer; another kind if the scene has none."""
    for _ in range(20):
        chosen = kind or rng.choices(list(MAKERS), [weight for _, weight in MAKERS.values()])[0]
        turn = MAKERS[chosen][0](scene, rng)
        if turn is not None:
            return turn
    return background(scene, rng)


def casual(question: str, rng: random.Random) -> str:
    """The same question as people type it: sometimes without capitals, question mark or full stop."""
    if rng.random() < 0.15:
        question = question[0].lower() + question[1:]
    if rng.random() < 0.12:
        question = question.rstrip("?.")
    if rng.random() < 0.04:
        question = f"Please tell me: {question}"
    return question


def without_image(scene: Scene, rng: random.Random) -> Turn:
    """A question about an image that nobody sent."""
    return Turn("no_image", ask(scene, rng).question, NO_IMAGE, images=0)
