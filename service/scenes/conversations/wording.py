"""Words that all conversations share: how objects, places and numbers are called."""

from dataclasses import dataclass

from service.scenes.scene import (
    BACKGROUNDS,
    CELLS,
    COLOURS,
    NUMBERS,
    SHAPES,
    SIZES,
    SceneObject,
    cell_name,
)

_PLACES = (
    "in the top left corner",
    "at the top",
    "in the top right corner",
    "on the left",
    "in the middle",
    "on the right",
    "in the bottom left corner",
    "at the bottom",
    "in the bottom right corner",
)
PLURALS = {"cross": "crosses"} | {name: f"{name}s" for name in SHAPES if name != "cross"}


@dataclass(frozen=True)
class Turn:
    """A question with its true answer, and what an evaluation needs to know.

    Attributes:
        kind: Question kind (``colour``, ``count``, ``describe`` and so on).
        expected: Canonical answer: ``red``, ``3``, ``yes``, ``top left``; empty for free text.
        images: How many images the question is about.
    """

    kind: str
    question: str
    answer: str
    expected: str = ""
    images: int = 1


def add_article(words: str) -> str:
    """Return ``an orange star``, ``a red star``."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def describe_object(item: SceneObject, *, size: bool = True) -> str:
    """Return ``a large red circle``, ``the small word "stop" in red``."""
    if item.text:
        return f"the {item.size + ' ' if size else ''}{item.noun} in {item.colour}"
    return add_article(f"{item.size + ' ' if size else ''}{item.colour} {item.noun}")


def describe_place(cell: int) -> str:
    """Return ``in the top left corner``."""
    return _PLACES[cell]


def capitalise(text: str) -> str:
    """Return ``In the middle`` for ``in the middle``."""
    return text[0].upper() + text[1:]


def join_words(parts: list[str]) -> str:
    """Return ``a star, a ring and a heart``."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def count_objects(number: int) -> str:
    """Return ``one object``, ``three objects``."""
    return f"{NUMBERS[number]} object{'' if number == 1 else 's'}"


def matches(item: SceneObject, shape: str | None, colour: str | None) -> bool:
    """Return whether an object has this shape and colour; None means any."""
    return shape in (None, item.kind) and colour in (None, item.colour)


def describe_at_place(item: SceneObject) -> str:
    """Return ``in the middle a red circle``, as lists of objects have it."""
    return f"{describe_place(item.cell)} {describe_object(item, size=False)}"


def list_vocabulary() -> tuple[str, ...]:
    """Return the words of all scenes, in the order of their lists."""
    cells = {word for cell in range(CELLS) for word in cell_name(cell).split()}
    return (*SHAPES, *COLOURS, *SIZES, *BACKGROUNDS, *NUMBERS, *sorted(cells))
