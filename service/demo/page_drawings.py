"""Four drawings for the page: a harbour, a breakfast table, a street, and a kite."""

import math
from collections.abc import Callable

from PIL import Image

from service.demo.drawing import SIDE, Canvas, Point


def draw_harbour() -> Image.Image:
    """Draw two sailing boats and a lighthouse at sunset."""
    canvas = Canvas("#f6c177", "#f08a6b")
    canvas.draw_disc(300, 232, 54, "#fff1cf")
    canvas.draw_hill(lambda x: 232 - 26 * math.exp(-(((x - 70) / 90) ** 2)), "#5b4b75")
    for row in range(9):
        shade = ("#2f5d7c", "#2b5673", "#27506b")[row % 3]
        canvas.draw_hill(_make_wave(240.0 + row * 24, row), shade)
    for width, y in ((74, 254), (56, 272), (40, 290), (26, 308)):
        canvas.draw_box(300 - width / 2, y, 300 + width / 2, y + 5, "#f5c98f")
    canvas.draw_polygon([(62, 214), (70, 120), (90, 120), (98, 214)], "#f7f1e6")
    canvas.draw_polygon([(66, 172), (69, 146), (91, 146), (94, 172)], "#c8453c")
    canvas.draw_box(66, 104, 94, 120, "#3b3350")
    canvas.draw_disc(80, 112, 6, "#ffe9a8")
    canvas.draw_polygon([(62, 104), (80, 86), (98, 104)], "#c8453c")
    _draw_boat(canvas, 196, 330, 1.0, "#fbf7ee", "#a8342f")
    _draw_boat(canvas, 356, 380, 1.25, "#f2d9a6", "#274156")
    return canvas.finish()


def _make_wave(top: float, phase: float) -> Callable[[float], float]:
    return lambda x: top + 3 * math.sin(x / 26 + phase)


def _draw_boat(canvas: Canvas, x: float, y: float, size: float, sail: str, hull: str) -> None:
    def at(*points: Point) -> list[Point]:
        return [(x + dx * size, y + dy * size) for dx, dy in points]

    canvas.draw_line(at((0, 0), (0, -104)), "#4a3b32", 3 * size)
    canvas.draw_polygon(at((4, -100), (4, -12), (52, -12)), sail)
    canvas.draw_polygon(at((-4, -84), (-4, -12), (-36, -12)), sail)
    canvas.draw_polygon(at((-50, -4), (60, -4), (42, 18), (-36, 18)), hull)


def draw_table() -> Image.Image:
    """Draw a blue cup, two apples, a lemon and a book on a wooden table."""
    canvas = Canvas("#e9e4d6", "#d9d1bd")
    canvas.draw_box(248, 36, 412, 196, "#fdfbf5")
    canvas.draw_box(258, 46, 402, 186, "#a9cfe0")
    canvas.draw_disc(352, 92, 20, "#fff6d6")
    canvas.draw_polygon(
        [(258, 186), (258, 150), (300, 116), (340, 156), (366, 138), (402, 168), (402, 186)],
        "#7da488",
    )
    canvas.draw_box(326, 46, 334, 186, "#fdfbf5")
    canvas.draw_box(0, 286, SIDE, SIDE, "#b98256")
    canvas.draw_box(0, 286, SIDE, 296, "#9a683f")
    for y in (332, 378, 424):
        canvas.draw_box(0, y, SIDE, y + 2, "#a8744a")
    canvas.draw_disc(118, 330, 76, "#a16f46", 12)
    canvas.draw_polygon([(62, 222), (174, 222), (160, 330), (76, 330)], "#2f6db0")
    canvas.draw_disc(118, 330, 42, "#2f6db0", 10)
    canvas.draw_line([(172, 244), (206, 246), (208, 286), (166, 296)], "#2f6db0", 13)
    canvas.draw_disc(118, 222, 56, "#4a88c9", 14)
    canvas.draw_disc(118, 224, 48, "#4b2d1d", 10)
    for dx, y in ((96, 190), (120, 178), (142, 192)):
        steam = [(dx + 5 * math.sin(step / 2), y - step * 5.0) for step in range(12)]
        canvas.draw_line(steam, "#f4f0e6", 5)
    canvas.draw_polygon([(214, 372), (404, 352), (420, 384), (226, 408)], "#7c2f3b")
    canvas.draw_polygon([(226, 408), (420, 384), (420, 394), (228, 418)], "#f3ecdc")
    canvas.draw_polygon([(228, 418), (420, 394), (422, 400), (230, 426)], "#5f222d")
    for x, y, fill, light in ((276, 326, "#c23b33", "#dd6a5c"), (338, 318, "#7fa83a", "#a6c565")):
        canvas.draw_disc(x, y, 35, fill, 33)
        canvas.draw_disc(x - 12, y - 12, 9, light)
        canvas.draw_line([(x, y - 30), (x + 6, y - 46)], "#5b3d24", 5)
        canvas.draw_polygon([(x + 5, y - 40), (x + 24, y - 52), (x + 26, y - 38)], "#4f7a3a")
    canvas.draw_disc(84, 388, 37, "#efc93d", 25)
    canvas.draw_polygon([(118, 380), (132, 388), (118, 396)], "#efc93d")
    canvas.draw_disc(74, 380, 11, "#f8e184", 6)
    return canvas.finish()


def draw_street() -> Image.Image:
    """Draw a yellow tram that passes three houses and a tree."""
    canvas = Canvas("#bfe0ee", "#eef4ee")
    canvas.draw_disc(372, 70, 28, "#fbe29a")
    for x, y in ((70.0, 62.0), (196.0, 44.0)):
        for dx, radius in ((-26, 16), (0, 24), (28, 18)):
            canvas.draw_disc(x + dx, y - radius / 4, radius, "#ffffff")
    houses = (
        (18, 128, 158, "#d98262", "#8c4a3a"),
        (150, 104, 300, "#efe3c4", "#5d6f86"),
        (292, 146, 404, "#8fb0a2", "#3f5a56"),
    )
    for left, top, right, wall, roof in houses:
        canvas.draw_box(left, top, right, 330, wall)
        middle = (left + right) / 2
        canvas.draw_polygon([(left - 10, top), (middle, top - 52), (right + 10, top)], roof)
        columns = 3 if right - left > 140 else 2
        for column in range(columns):
            for row in range(2):
                x = left + (column + 0.5) * (right - left) / columns
                y = top + 22 + row * 62
                canvas.draw_box(x - 13, y, x + 13, y + 36, "#fdfaf0")
                canvas.draw_box(x - 10, y + 3, x + 10, y + 33, "#4d6b80")
        canvas.draw_box(middle - 14, 270, middle + 14, 330, roof)
    canvas.draw_box(414, 230, 424, 334, "#6b4a33")
    for x, y, radius in ((419, 206, 38), (398, 232, 26), (438, 232, 28)):
        canvas.draw_disc(x, y, radius, "#4c8a4e")
    canvas.draw_box(0, 330, SIDE, 350, "#c9c2b4")
    canvas.draw_box(0, 350, SIDE, SIDE, "#6d7078")
    canvas.draw_box(0, 408, SIDE, 411, "#4d5057")
    canvas.draw_box(0, 428, SIDE, 431, "#4d5057")
    canvas.draw_line([(0, 224), (SIDE, 218)], "#49505a", 2)
    canvas.draw_line([(160, 262), (196, 222), (232, 262)], "#3a3f48", 4)
    canvas.draw_polygon([(60, 272), (72, 260), (332, 260), (344, 272)], "#8a8478")
    canvas.draw_box(52, 272, 352, 396, "#f2b632")
    canvas.draw_box(52, 356, 352, 368, "#fbf6e6")
    for column in range(5):
        left = 66 + column * 57
        canvas.draw_box(left, 286, left + 43, 340, "#2f4654")
        canvas.draw_polygon(
            [(left + 6, 340), (left + 22, 286), (left + 32, 286), (left + 16, 340)], "#486473"
        )
    canvas.draw_box(52, 392, 352, 402, "#5a4a2c")
    for x in (104, 150, 256, 302):
        canvas.draw_disc(x, 404, 15, "#2b2d33")
        canvas.draw_disc(x, 404, 6, "#8b8f98")
    canvas.draw_disc(344, 380, 6, "#fff4c4")
    return canvas.finish()


def draw_kite() -> Image.Image:
    """Draw a red kite above green hills, and a dog that looks up to it."""
    canvas = Canvas("#8fc6e8", "#dff0f3")
    for x, y in ((96.0, 96.0), (330.0, 190.0)):
        for dx, radius in ((-34, 18), (0, 28), (36, 20)):
            canvas.draw_disc(x + dx, y - radius / 4, radius, "#f7fbfc")
    canvas.draw_hill(lambda x: 300 - 40 * math.sin(x / 90 + 0.6), "#9cc58a")
    canvas.draw_hill(lambda x: 352 - 26 * math.sin(x / 70 + 2.4), "#6fa761")
    string = [(276 - step * 4.6, 166 + step * 6.2 + 10 * math.sin(step / 6)) for step in range(31)]
    canvas.draw_line(string, "#55606b", 1.6)
    centre = (292.0, 110.0)
    left, right, top, bottom = (232.0, 96.0), (350.0, 118.0), (306.0, 40.0), (276.0, 176.0)
    for corners, fill in (
        ([centre, top, left], "#d8443a"),
        ([centre, top, right], "#b8322b"),
        ([centre, bottom, left], "#f4c542"),
        ([centre, bottom, right], "#dba92b"),
    ):
        canvas.draw_polygon(corners, fill)
    tail = [(276 + 16 * math.sin(step / 2.2), 176 + step * 6.0) for step in range(15)]
    canvas.draw_line(tail, "#b8322b", 3)
    for step in (4, 8, 12):
        x, y = tail[step]
        canvas.draw_polygon(
            [(x - 12, y - 7), (x - 12, y + 7), (x, y), (x + 12, y + 7), (x + 12, y - 7), (x, y)],
            "#f4c542",
        )
    brown, dark = "#8a5a34", "#5f3b20"
    canvas.draw_line([(92, 366), (64, 336)], brown, 9)
    canvas.draw_disc(132, 372, 46, brown, 25)
    for x in (102, 116, 150, 164):
        canvas.draw_box(x - 6, 380, x + 6, 420, brown)
        canvas.draw_disc(x + 3, 419, 9, dark, 5)
    canvas.draw_polygon([(146, 372), (174, 372), (190, 326), (160, 320)], brown)
    canvas.draw_disc(180, 318, 25, brown, 22)
    canvas.draw_polygon([(188, 300), (222, 292), (226, 308), (196, 332)], brown)
    canvas.draw_disc(222, 296, 7, "#2a1b12")
    canvas.draw_disc(190, 308, 4, "#1d130c")
    canvas.draw_polygon([(160, 306), (176, 306), (166, 348), (150, 336)], dark)
    canvas.draw_line([(152, 356), (180, 364)], "#d8443a", 8)
    return canvas.finish()
