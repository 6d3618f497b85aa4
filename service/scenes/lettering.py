"""Words and digits as objects of a picture, in Pillow's own font."""

import random
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from service.scenes.render_settings import SCALE, SIDE, Colour, RenderSettings


def draw_text(
    canvas: Image.Image,
    silhouette: Image.Image,
    text: str,
    centre: tuple[float, float],
    radius: float,
    fill: Colour,
    rng: random.Random,
    settings: RenderSettings,
) -> None:
    """Draw a text whose longer side is the object's extent.

    Args:
        canvas: Gets the text in its colour.
        silhouette: Gets the text in white.
        centre: Of the object, in pixels of the canvas.
        radius: Half the extent of the object, in pixels of the canvas.
    """
    mask = _draw_letters(text, int(rng.uniform(0, 3.5)))
    # Words may be as wide as the cell even if they are small, so that they can be read.
    extent = 2 * radius if len(text) == 1 else max(2 * radius, 26 * SCALE + radius)
    factor = extent / max(mask.size)
    mask = mask.resize((max(int(mask.width * factor), 1), max(int(mask.height * factor), 1)))
    mask = mask.rotate(
        rng.uniform(-settings.rotation, settings.rotation) / 2,
        Image.Resampling.BILINEAR,
        expand=True,
    )
    limit = SIDE * SCALE
    x = min(max(centre[0] - mask.width / 2, 0), limit - mask.width)
    y = min(max(centre[1] - mask.height / 2, 0), limit - mask.height)
    canvas.paste(fill, (int(x), int(y)), mask)
    silhouette.paste(255, (int(x), int(y)), mask)


def _draw_letters(text: str, bold: int) -> Image.Image:
    """Draw a text in white on black, as large as the font."""
    font = _load_font()
    left, top, right, bottom = font.getbbox(text, stroke_width=bold)
    mask = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8), 0)
    ImageDraw.Draw(mask).text((4 - left, 4 - top), text, 255, font, stroke_width=bold)
    return mask


@cache
def _load_font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(40 * SCALE)
