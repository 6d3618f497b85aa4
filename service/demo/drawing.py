"""A canvas for flat drawings with smooth edges."""

from collections.abc import Callable

from PIL import Image, ImageDraw

SIDE = 448
"""Pixels; the encoders of all families scale to 224 or 448."""

_SCALE = 3
"""Shapes are drawn at this multiple of the final size and then reduced, which smooths the edges."""

_COLOURS = 128
"""Palette entries: flat drawings stay small files without visible loss."""

Point = tuple[float, float]


class Canvas:
    """A drawing in units of the final picture's pixels.

    Args:
        top: Colour of the background at the top.
        bottom: Colour at the bottom; between them is a gradient.
    """

    def __init__(self, top: str, bottom: str) -> None:
        ramp = Image.linear_gradient("L").resize((SIDE * _SCALE,) * 2)
        blank = Image.new("RGB", ramp.size, top)
        self._image = Image.composite(Image.new("RGB", ramp.size, bottom), blank, ramp)
        self._draw = ImageDraw.Draw(self._image)

    def draw_disc(self, x: float, y: float, radius: float, fill: str, height: float = 0) -> None:
        """Draw a disc, or an ellipse if a vertical radius is given."""
        vertical = height or radius
        box = [value * _SCALE for value in (x - radius, y - vertical, x + radius, y + vertical)]
        self._draw.ellipse(box, fill)

    def draw_box(self, left: float, top: float, right: float, bottom: float, fill: str) -> None:
        """Draw an upright rectangle."""
        self._draw.rectangle([value * _SCALE for value in (left, top, right, bottom)], fill)

    def draw_polygon(self, points: list[Point], fill: str) -> None:
        """Draw a filled polygon."""
        self._draw.polygon([(x * _SCALE, y * _SCALE) for x, y in points], fill)

    def draw_line(self, points: list[Point], fill: str, width: float) -> None:
        """Draw connected strokes with round joints."""
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._draw.line(scaled, fill, round(width * _SCALE), "curve")

    def draw_hill(self, height: Callable[[float], float], fill: str) -> None:
        """Fill everything below a curve."""
        edge = [(float(x), height(x)) for x in range(0, SIDE + 8, 8)]
        self.draw_polygon([(0, SIDE), *edge, (SIDE, SIDE)], fill)

    def finish(self) -> Image.Image:
        """Return the picture at its final size."""
        return self._image.reduce(_SCALE).quantize(_COLOURS, dither=Image.Dither.NONE)
