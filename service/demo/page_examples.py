"""Draws the example images that the page offers where the model folder has none of its own.

``python -m service.demo.page_examples`` writes them; the result is committed.
"""

import math
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

from service.scenes.datasets import EXAMPLES
from service.scenes.render import render
from service.scenes.scene import draw_scene, rng_for

SIDE = 448
"""Pixels; every family's encoder scales to 224 or 448."""

_SCALE = 3
"""Shapes are drawn at this multiple of the final size, then reduced: that is the anti-aliasing."""

_COLOURS = 128
"""Palette entries: flat drawings stay small files without visible loss."""

FOLDER = Path(__file__).parents[1] / "api" / "routes" / "static" / "examples"

Point = tuple[float, float]


class Sheet:
    """A drawing in units of the final picture's pixels."""

    def __init__(self, top: str, bottom: str) -> None:
        """Start with a vertical gradient."""
        ramp = Image.linear_gradient("L").resize((SIDE * _SCALE,) * 2)
        blank = Image.new("RGB", ramp.size, top)
        self._image = Image.composite(Image.new("RGB", ramp.size, bottom), blank, ramp)
        self._draw = ImageDraw.Draw(self._image)

    def disc(self, x: float, y: float, radius: float, fill: str, height: float = 0) -> None:
        """A disc, or an ellipse of that vertical radius."""
        high = height or radius
        box = [value * _SCALE for value in (x - radius, y - high, x + radius, y + high)]
        self._draw.ellipse(box, fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: str) -> None:
        """An upright rectangle."""
        self._draw.rectangle([value * _SCALE for value in (left, top, right, bottom)], fill)

    def polygon(self, points: list[Point], fill: str) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * _SCALE, y * _SCALE) for x, y in points], fill)

    def line(self, points: list[Point], fill: str, width: float) -> None:
        """Connected strokes with round joints."""
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._draw.line(scaled, fill, round(width * _SCALE), "curve")

    def hill(self, height: Callable[[float], float], fill: str) -> None:
        """Everything below a curve."""
        edge = [(float(x), height(x)) for x in range(0, SIDE + 8, 8)]
        self.polygon([(0, SIDE), *edge, (SIDE, SIDE)], fill)

    def finished(self) -> Image.Image:
        """The picture at its final size."""
        return self._image.reduce(_SCALE).quantize(_COLOURS, dither=Image.Dither.NONE)


def harbour() -> Image.Image:
    """Two sailing boats and a lighthouse at sunset."""
    sheet = Sheet("#f6c177", "#f08a6b")
    sheet.disc(300, 232, 54, "#fff1cf")
    sheet.hill(lambda x: 232 - 26 * math.exp(-(((x - 70) / 90) ** 2)), "#5b4b75")
    for row in range(9):
        shade = ("#2f5d7c", "#2b5673", "#27506b")[row % 3]
        sheet.hill(_wave(240.0 + row * 24, row), shade)
    for width, y in ((74, 254), (56, 272), (40, 290), (26, 308)):
        sheet.box(300 - width / 2, y, 300 + width / 2, y + 5, "#f5c98f")
    sheet.polygon([(62, 214), (70, 120), (90, 120), (98, 214)], "#f7f1e6")
    sheet.polygon([(66, 172), (69, 146), (91, 146), (94, 172)], "#c8453c")
    sheet.box(66, 104, 94, 120, "#3b3350")
    sheet.disc(80, 112, 6, "#ffe9a8")
    sheet.polygon([(62, 104), (80, 86), (98, 104)], "#c8453c")
    _boat(sheet, 196, 330, 1.0, "#fbf7ee", "#a8342f")
    _boat(sheet, 356, 380, 1.25, "#f2d9a6", "#274156")
    return sheet.finished()


def _wave(top: float, phase: float) -> Callable[[float], float]:
    return lambda x: top + 3 * math.sin(x / 26 + phase)


def _boat(sheet: Sheet, x: float, y: float, size: float, sail: str, hull: str) -> None:
    def at(*points: Point) -> list[Point]:
        return [(x + dx * size, y + dy * size) for dx, dy in points]

    sheet.line(at((0, 0), (0, -104)), "#4a3b32", 3 * size)
    sheet.polygon(at((4, -100), (4, -12), (52, -12)), sail)
    sheet.polygon(at((-4, -84), (-4, -12), (-36, -12)), sail)
    sheet.polygon(at((-50, -4), (60, -4), (42, 18), (-36, 18)), hull)


def table() -> Image.Image:
    """A blue cup, two apples, a lemon and a book on a wooden table."""
    sheet = Sheet("#e9e4d6", "#d9d1bd")
    sheet.box(248, 36, 412, 196, "#fdfbf5")
    sheet.box(258, 46, 402, 186, "#a9cfe0")
    sheet.disc(352, 92, 20, "#fff6d6")
    sheet.polygon(
        [(258, 186), (258, 150), (300, 116), (340, 156), (366, 138), (402, 168), (402, 186)],
        "#7da488",
    )
    sheet.box(326, 46, 334, 186, "#fdfbf5")
    sheet.box(0, 286, SIDE, SIDE, "#b98256")
    sheet.box(0, 286, SIDE, 296, "#9a683f")
    for y in (332, 378, 424):
        sheet.box(0, y, SIDE, y + 2, "#a8744a")
    sheet.disc(118, 330, 76, "#a16f46", 12)
    sheet.polygon([(62, 222), (174, 222), (160, 330), (76, 330)], "#2f6db0")
    sheet.disc(118, 330, 42, "#2f6db0", 10)
    sheet.line([(172, 244), (206, 246), (208, 286), (166, 296)], "#2f6db0", 13)
    sheet.disc(118, 222, 56, "#4a88c9", 14)
    sheet.disc(118, 224, 48, "#4b2d1d", 10)
    for dx, y in ((96, 190), (120, 178), (142, 192)):
        steam = [(dx + 5 * math.sin(step / 2), y - step * 5.0) for step in range(12)]
        sheet.line(steam, "#f4f0e6", 5)
    sheet.polygon([(214, 372), (404, 352), (420, 384), (226, 408)], "#7c2f3b")
    sheet.polygon([(226, 408), (420, 384), (420, 394), (228, 418)], "#f3ecdc")
    sheet.polygon([(228, 418), (420, 394), (422, 400), (230, 426)], "#5f222d")
    for x, y, fill, light in ((276, 326, "#c23b33", "#dd6a5c"), (338, 318, "#7fa83a", "#a6c565")):
        sheet.disc(x, y, 35, fill, 33)
        sheet.disc(x - 12, y - 12, 9, light)
        sheet.line([(x, y - 30), (x + 6, y - 46)], "#5b3d24", 5)
        sheet.polygon([(x + 5, y - 40), (x + 24, y - 52), (x + 26, y - 38)], "#4f7a3a")
    sheet.disc(84, 388, 37, "#efc93d", 25)
    sheet.polygon([(118, 380), (132, 388), (118, 396)], "#efc93d")
    sheet.disc(74, 380, 11, "#f8e184", 6)
    return sheet.finished()


def street() -> Image.Image:
    """A yellow tram passes three houses and a tree."""
    sheet = Sheet("#bfe0ee", "#eef4ee")
    sheet.disc(372, 70, 28, "#fbe29a")
    for x, y in ((70.0, 62.0), (196.0, 44.0)):
        for dx, radius in ((-26, 16), (0, 24), (28, 18)):
            sheet.disc(x + dx, y - radius / 4, radius, "#ffffff")
    houses = (
        (18, 128, 158, "#d98262", "#8c4a3a"),
        (150, 104, 300, "#efe3c4", "#5d6f86"),
        (292, 146, 404, "#8fb0a2", "#3f5a56"),
    )
    for left, top, right, wall, roof in houses:
        sheet.box(left, top, right, 330, wall)
        middle = (left + right) / 2
        sheet.polygon([(left - 10, top), (middle, top - 52), (right + 10, top)], roof)
        columns = 3 if right - left > 140 else 2
        for column in range(columns):
            for row in range(2):
                x = left + (column + 0.5) * (right - left) / columns
                y = top + 22 + row * 62
                sheet.box(x - 13, y, x + 13, y + 36, "#fdfaf0")
                sheet.box(x - 10, y + 3, x + 10, y + 33, "#4d6b80")
        sheet.box(middle - 14, 270, middle + 14, 330, roof)
    sheet.box(414, 230, 424, 334, "#6b4a33")
    for x, y, radius in ((419, 206, 38), (398, 232, 26), (438, 232, 28)):
        sheet.disc(x, y, radius, "#4c8a4e")
    sheet.box(0, 330, SIDE, 350, "#c9c2b4")
    sheet.box(0, 350, SIDE, SIDE, "#6d7078")
    sheet.box(0, 408, SIDE, 411, "#4d5057")
    sheet.box(0, 428, SIDE, 431, "#4d5057")
    sheet.line([(0, 224), (SIDE, 218)], "#49505a", 2)
    sheet.line([(160, 262), (196, 222), (232, 262)], "#3a3f48", 4)
    sheet.polygon([(60, 272), (72, 260), (332, 260), (344, 272)], "#8a8478")
    sheet.box(52, 272, 352, 396, "#f2b632")
    sheet.box(52, 356, 352, 368, "#fbf6e6")
    for column in range(5):
        left = 66 + column * 57
        sheet.box(left, 286, left + 43, 340, "#2f4654")
        sheet.polygon(
            [(left + 6, 340), (left + 22, 286), (left + 32, 286), (left + 16, 340)], "#486473"
        )
    sheet.box(52, 392, 352, 402, "#5a4a2c")
    for x in (104, 150, 256, 302):
        sheet.disc(x, 404, 15, "#2b2d33")
        sheet.disc(x, 404, 6, "#8b8f98")
    sheet.disc(344, 380, 6, "#fff4c4")
    return sheet.finished()


def kite() -> Image.Image:
    """A red kite above green hills, with a dog that looks up to it."""
    sheet = Sheet("#8fc6e8", "#dff0f3")
    for x, y in ((96.0, 96.0), (330.0, 190.0)):
        for dx, radius in ((-34, 18), (0, 28), (36, 20)):
            sheet.disc(x + dx, y - radius / 4, radius, "#f7fbfc")
    sheet.hill(lambda x: 300 - 40 * math.sin(x / 90 + 0.6), "#9cc58a")
    sheet.hill(lambda x: 352 - 26 * math.sin(x / 70 + 2.4), "#6fa761")
    string = [(276 - step * 4.6, 166 + step * 6.2 + 10 * math.sin(step / 6)) for step in range(31)]
    sheet.line(string, "#55606b", 1.6)
    centre = (292.0, 110.0)
    left, right, top, bottom = (232.0, 96.0), (350.0, 118.0), (306.0, 40.0), (276.0, 176.0)
    for corners, fill in (
        ([centre, top, left], "#d8443a"),
        ([centre, top, right], "#b8322b"),
        ([centre, bottom, left], "#f4c542"),
        ([centre, bottom, right], "#dba92b"),
    ):
        sheet.polygon(corners, fill)
    tail = [(276 + 16 * math.sin(step / 2.2), 176 + step * 6.0) for step in range(15)]
    sheet.line(tail, "#b8322b", 3)
    for step in (4, 8, 12):
        x, y = tail[step]
        sheet.polygon(
            [(x - 12, y - 7), (x - 12, y + 7), (x, y), (x + 12, y + 7), (x + 12, y - 7), (x, y)],
            "#f4c542",
        )
    brown, dark = "#8a5a34", "#5f3b20"
    sheet.line([(92, 366), (64, 336)], brown, 9)
    sheet.disc(132, 372, 46, brown, 25)
    for x in (102, 116, 150, 164):
        sheet.box(x - 6, 380, x + 6, 420, brown)
        sheet.disc(x + 3, 419, 9, dark, 5)
    sheet.polygon([(146, 372), (174, 372), (190, 326), (160, 320)], brown)
    sheet.disc(180, 318, 25, brown, 22)
    sheet.polygon([(188, 300), (222, 292), (226, 308), (196, 332)], brown)
    sheet.disc(222, 296, 7, "#2a1b12")
    sheet.disc(190, 308, 4, "#1d130c")
    sheet.polygon([(160, 306), (176, 306), (166, 348), (150, 336)], dark)
    sheet.line([(152, 356), (180, 364)], "#d8443a", 8)
    return sheet.finished()


SCENES = (
    "circles-and-hearts",
    "eight-and-a-star",
    "go-with-triangles",
    "hi-and-rings",
    "stars-and-rings",
    "stars-in-the-dark",
    "stop-among-shapes",
    "three-and-rings",
)
"""The demo model's examples that are offered beside the drawings."""

DRAWINGS: dict[str, Callable[[], Image.Image]] = {
    "harbour-at-sunset": harbour,
    "breakfast-table": table,
    "tram-in-a-street": street,
    "dog-and-kite": kite,
}


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWINGS.items():
        draw().save(FOLDER / f"{name}.png", optimize=True)
    for name in SCENES:
        rng = rng_for("examples", EXAMPLES[name])
        render(draw_scene(rng), rng).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
