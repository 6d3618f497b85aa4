"""Words that all conversations share: how an object, a place and a number are said."""

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
    """A question, a true answer and what an evaluation needs.

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


def article(words: str) -> str:
    """``an orange star``, ``a red star``."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def phrase(item: SceneObject, *, size: bool = True) -> str:
    """``a large red circle``, ``the small word "stop" in red``."""
    if item.text:
        return f"the {item.size + ' ' if size else ''}{item.noun} in {item.colour}"
    return article(f"{item.size + ' ' if size else ''}{item.colour} {item.noun}")


def place_phrase(cell: int) -> str:
    """``in the top left corner``."""
    return _PLACES[cell]


def capital(text: str) -> str:
    """``In the middle``."""
    return text[0].upper() + text[1:]


def enumerated(parts: list[str]) -> str:
    """``a star, a ring and a heart``."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def number_of_objects(number: int) -> str:
    """``one object``, ``three objects``."""
    return f"{NUMBERS[number]} object{'' if number == 1 else 's'}"


def fits(item: SceneObject, shape: str | None, colour: str | None) -> bool:
    """Whether it has this shape and colour; None is any."""
    return shape in (None, item.kind) and colour in (None, item.colour)


def seen_at(item: SceneObject) -> str:
    """``in the middle a red circle``: an object in a list of what one sees, one after the other."""
    return f"{place_phrase(item.cell)} {phrase(item, size=False)}"


def vocabulary_words() -> tuple[str, ...]:
    """Words of the scenes, in the order of their lists."""
    cells = {word for cell in range(CELLS) for word in cell_name(cell).split()}
    return (*SHAPES, *COLOURS, *SIZES, *BACKGROUNDS, *NUMBERS, *sorted(cells))
