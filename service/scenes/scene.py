"""Scenes as data: objects on a plain background, at most one in each cell of a 3 x 3 grid.

A scene follows from the name of a split and an index. It is the same on every machine, and
training, test sets and examples have different scenes.
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

# Colours that can hardly be seen on a background.
_INVISIBLE = {"black": {"black"}}
_OBJECT_COUNTS = (1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6)


@dataclass(frozen=True)
class SceneObject:
    """One object.

    Attributes:
        kind: A shape, ``word`` or ``digit``.
        colour: One of ``COLOURS``.
        size: One of ``SIZES``.
        cell: 0 to 8, in reading order.
        text: The word or digit itself; empty for shapes.
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
        """For example ``circle``, ``word "stop"`` or ``digit 7``."""
        if self.kind == "word":
            return f'word "{self.text}"'
        return f"digit {self.text}" if self.kind == "digit" else self.kind

    @property
    def place(self) -> str:
        """The name of the cell, such as ``top left`` or ``middle``."""
        return cell_name(self.cell)


@dataclass(frozen=True)
class Scene:
    """A background and its objects, in reading order of their cells."""

    background: str
    objects: tuple[SceneObject, ...]

    @property
    def written(self) -> SceneObject | None:
        """The first word or digit, if there is one."""
        return next((item for item in self.objects if item.text), None)

    def count(self, kind: str | None = None, colour: str | None = None) -> int:
        """Return how many objects have this kind and colour; None means any."""
        return sum(
            kind in (None, item.kind) and colour in (None, item.colour) for item in self.objects
        )

    def name_object(self, item: SceneObject) -> str:
        """Return the shortest unique name (``circle``, else ``red circle``), or an empty string."""
        if item.text or self.count(item.kind) == 1:
            return item.noun
        return f"{item.colour} {item.noun}" if self.count(item.kind, item.colour) == 1 else ""


def cell_name(cell: int) -> str:
    """Return ``top left``, ``top``, ``left``, ``middle`` and so on."""
    row, column = ROWS[cell // 3], COLUMNS[cell % 3]
    if column == "centre":
        return row
    return column if row == "middle" else f"{row} {column}"


def rng_for(split: str, index: int) -> random.Random:
    """Return a generator whose seed follows from the split's name and the index alone."""
    digest = hashlib.sha256(f"{split}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - reproducible, not secret


def draw_scene(rng: random.Random, crowded: bool = False) -> Scene:
    """Draw a scene. Shapes and colours repeat more often than by chance.

    Args:
        crowded: Four to nine objects instead of one to six, to learn more from one picture.
    """
    background = rng.choices(BACKGROUNDS, (5, 2, 1, 2))[0]
    colours = [name for name in COLOURS if name not in _INVISIBLE.get(background, ())]
    number = rng.randint(4, CELLS) if crowded else rng.choice(_OBJECT_COUNTS)
    cells = sorted(rng.sample(range(CELLS), number))
    objects: list[SceneObject] = []
    # With few different shapes and colours in a scene, there is something to count and to compare.
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


def replace_with_texts(scene: Scene, rng: random.Random, share: float) -> Scene:
    """Return the scene with this share of its objects replaced by words and digits."""
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
