"""Slots: what the language model reads in the place of an image, as words with weights."""

import random

from service.scenes.scene import (
    BACKGROUNDS,
    CELLS,
    COLOURS,
    KINDS,
    NUMBERS,
    SIZES,
    TEXTS,
    Scene,
    cell_name,
)

SLOTS = CELLS + 3
"""Slots of an image: nine cells, the background, the number of objects, the written text."""

MARKER = 0
"""Id of ``<unk>``, which stands in the place of an image. Its embedding is added to every slot."""

PLACES = tuple(cell_name(cell) for cell in range(CELLS))
_GROUPS: tuple[tuple[str, ...], ...] = (
    KINDS,
    COLOURS,
    SIZES,
    PLACES,
    BACKGROUNDS,
    NUMBERS,
    TEXTS,
)
CONFUSABLE = {word: group for group in _GROUPS for word in group}
"""Words of slots, each with the group of words that it could be mistaken for."""


def list_slot_words(scene: Scene) -> list[list[str]]:
    """Return the words of each of the 12 slots, in the order of the vision side's query tokens.

    Some slots have a word twice, so that all sums are about as long: attention compares them.
    """
    slots = [["empty", "empty", cell_name(cell)] for cell in range(CELLS)]
    for item in scene.objects:
        words = [item.kind, item.colour, item.size, item.place]
        slots[item.cell] = [*words, item.text] if item.text else words
    slots.append(["background", "background", scene.background])
    slots.append(["objects", "objects", NUMBERS[len(scene.objects)]])
    written = scene.written
    slots.append(["written", "written", written.text if written else "nothing"])
    return slots


def perturb_words(words: list[str], rng: random.Random) -> list[tuple[str, float]]:
    """Return words with weights near one and traces of others, as an imperfect encoder has."""
    weighted = [(word, rng.uniform(0.8, 1.15)) for word in words]
    traces = [
        (rng.choice(CONFUSABLE[word]), rng.uniform(-0.15, 0.25))
        for word in words
        if word in CONFUSABLE and rng.random() < 0.4
    ]
    return weighted + traces
