"""Curves as a PNG, drawn with Pillow: a plotting library would be a dependency for one picture."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_COLOURS = ("#1f5fbf", "#d9622b", "#2f8f4e", "#8a4fbf", "#b8992e", "#c23b5a")
_WIDTH, _HEIGHT, _SCALE = 760, 420, 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 44, 48


@dataclass(frozen=True)
class Curve:
    """A named line through points ``(x, y)``."""

    name: str
    points: Sequence[tuple[float, float]]


def draw_curves(title: str, x_name: str, curves: Sequence[Curve]) -> bytes:
    """A line chart from zero upwards with a legend; PNG bytes."""
    canvas = Image.new("RGB", (_WIDTH * _SCALE, _HEIGHT * _SCALE), "white")
    draw = ImageDraw.Draw(canvas)
    everything = [point for curve in curves for point in curve.points] or [(0.0, 0.0)]
    most_x = max(max(x for x, _ in everything), 1e-9)
    most_y = _round_up(max(y for _, y in everything))
    _axes(draw, title, x_name, most_x, most_y)
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        line = [_place(x / most_x, y / most_y) for x, y in curve.points]
        if len(line) > 1:
            draw.line(line, colour, 2 * _SCALE, joint="curve")
        elif line:
            x, y = line[0]
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), colour)
        top = (_TOP + 8 + 18 * number) * _SCALE
        left = (_WIDTH - _RIGHT - 170) * _SCALE
        draw.line((left, top + 14, left + 36, top + 14), colour, 3 * _SCALE)
        draw.text((left + 48, top), curve.name, "#333333", _font(12))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _axes(draw: ImageDraw.ImageDraw, title: str, x_name: str, most_x: float, most_y: float) -> None:
    draw.text((_LEFT * _SCALE, 14 * _SCALE), title, "#111111", _font(15))
    for step in range(6):
        share = step / 5
        left, level = _place(0, share)
        draw.line((left, level, (_WIDTH - _RIGHT) * _SCALE, level), "#dddddd", _SCALE)
        draw.text((left - 10, level), f"{most_y * share:.3g}", "#555555", _font(11), anchor="rm")
        across, base = _place(share, 0)
        draw.text((across, base + 12), f"{most_x * share:.4g}", "#555555", _font(11), anchor="mt")
    middle = (_LEFT + _WIDTH - _RIGHT) / 2 * _SCALE
    draw.text((middle, (_HEIGHT - 16) * _SCALE), x_name, "#555555", _font(12), anchor="mm")


def _place(x: float, y: float) -> tuple[float, float]:
    across = _LEFT + x * (_WIDTH - _LEFT - _RIGHT)
    down = _HEIGHT - _BOTTOM - y * (_HEIGHT - _TOP - _BOTTOM)
    return across * _SCALE, down * _SCALE


def _round_up(value: float) -> float:
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    while power > value:
        power /= 10
    steps = next(step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)
    return steps * power


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _SCALE)
