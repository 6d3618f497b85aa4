"""Slots: what the language model reads in an image's place, as words and their weights."""

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
MARKER = 0
"""Id of ``<unk>``, which stands where an image is: every slot holds its embedding besides its words."""

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


def slot_words(scene: Scene) -> list[list[str]]:
    """Words of each of the 12 slots, in the order of the vision side's query tokens.

    Some say a word twice, so that all slots are about as long: attention compares them.
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


OTHERS = {word: group for group in _GROUPS for word in group}
"""Words that a slot may hold, each with its group: the words that it could be mistaken for."""


def loosened(words: list[str], rng: random.Random) -> list[tuple[str, float]]:
    """Words with weights near one, and traces of other words: what an imperfect eye reports."""
    said = [(word, rng.uniform(0.8, 1.15)) for word in words]
    traces = [
        (rng.choice(OTHERS[word]), rng.uniform(-0.15, 0.25))
        for word in words
        if word in OTHERS and rng.random() < 0.4
    ]
    return said + traces
