"""Scenes as data: objects on a plain background, at most one in each cell of a 3 x 3 grid.

A scene is drawn from a seed and a split's name, so that the training, held-out and example scenes
are different draws and the same on every machine.
"""

import hashlib
import random
from dataclasses import dataclass, replace

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "diamond", "ring")
WORDS = ("cat", "dog", "sun", "yes", "no", "stop", "go", "hi", "up", "end")
DIGITS = tuple("0123456789")
KINDS = (*SHAPES, "word", "digit")
TEXTS = (*WORDS, *DIGITS)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
SIZES = ("small", "large")
BACKGROUNDS = ("white", "grey", "black", "beige")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "centre", "right")
CELLS = 9
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Colours that cannot be told from a background, or hardly.
_UNSEEN = {"black": {"black"}}
_OBJECTS = (1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6)


@dataclass(frozen=True)
class SceneObject:
    """One object.

    Attributes:
        kind: A shape, ``word`` or ``digit``.
        colour, size: From ``COLOURS`` and ``SIZES``.
        cell: 0 to 8 in raster order.
        text: What is written, for words and digits.
    """

    kind: str
    colour: str
    size: str
    cell: int
    text: str = ""

    @property
    def row(self) -> int:
        """0 at the top, 2 at the bottom."""
        return self.cell // 3

    @property
    def column(self) -> int:
        """0 at the left, 2 at the right."""
        return self.cell % 3

    @property
    def noun(self) -> str:
        """``circle``, ``word "stop"`` or ``digit 7``."""
        if self.kind == "word":
            return f'word "{self.text}"'
        return f"digit {self.text}" if self.kind == "digit" else self.kind

    @property
    def place(self) -> str:
        """The cell as the answers' canonical form has it: ``top left``, ``middle``."""
        return cell_name(self.cell)


@dataclass(frozen=True)
class Scene:
    """A background and its objects, in raster order of their cells."""

    background: str
    objects: tuple[SceneObject, ...]

    @property
    def written(self) -> SceneObject | None:
        """The one word or digit, if any."""
        return next((item for item in self.objects if item.text), None)

    def count(self, kind: str | None = None, colour: str | None = None) -> int:
        """How many objects are of this kind and colour."""
        return sum(
            kind in (None, item.kind) and colour in (None, item.colour) for item in self.objects
        )

    def named(self, item: SceneObject) -> str:
        """The shortest unique name of an object (``circle``, else ``red circle``), or an empty string."""
        if item.text or self.count(item.kind) == 1:
            return item.noun
        return f"{item.colour} {item.noun}" if self.count(item.kind, item.colour) == 1 else ""


def cell_name(cell: int) -> str:
    """``top left``, ``top``, ``left``, ``middle`` and so on."""
    row, column = ROWS[cell // 3], COLUMNS[cell % 3]
    if column == "centre":
        return row
    return column if row == "middle" else f"{row} {column}"


def rng_for(split: str, index: int) -> random.Random:
    """A generator that depends on the split's name and the index only, on every machine."""
    digest = hashlib.sha256(f"{split}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - reproducible, not secret


def draw_scene(rng: random.Random, crowded: bool = False) -> Scene:
    """Draw a scene: repeated shapes and colours more often than by chance.

    Args:
        crowded: Four to nine objects instead of one to six: more to learn from in one picture.
    """
    background = rng.choices(BACKGROUNDS, (5, 2, 1, 2))[0]
    colours = [name for name in COLOURS if name not in _UNSEEN.get(background, ())]
    number = rng.randint(4, CELLS) if crowded else rng.choice(_OBJECTS)
    cells = sorted(rng.sample(range(CELLS), number))
    objects: list[SceneObject] = []
    # Few different shapes and colours in a scene make counting and comparing worth it.
    shapes = rng.sample(SHAPES, rng.choice((2, 3, 4, 8)))
    palette = rng.sample(colours, min(rng.choice((2, 3, 4, 7)), len(colours)))
    with_text = rng.randrange(number) if rng.random() < (0.75 if crowded else 0.35) else -1
    for position, cell in enumerate(cells):
        colour, size = rng.choice(palette), rng.choice(SIZES)
        if position == with_text:
            kind, text = _draw_text(rng)
            objects.append(SceneObject(kind, colour, size, cell, text))
        else:
            objects.append(SceneObject(rng.choice(shapes), colour, size, cell))
    return Scene(background, tuple(objects))


def with_texts(scene: Scene, rng: random.Random, share: float) -> Scene:
    """The same scene with this share of its objects turned into words and digits: something to read."""
    objects = []
    for item in scene.objects:
        if rng.random() < share:
            kind, text = _draw_text(rng)
            item = replace(item, kind=kind, text=text)
        objects.append(item)
    return Scene(scene.background, tuple(objects))


def _draw_text(rng: random.Random) -> tuple[str, str]:
    kind = rng.choice(("word", "digit"))
    return kind, rng.choice(WORDS if kind == "word" else DIGITS)
