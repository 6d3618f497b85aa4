"""Scenes to pictures with Pillow: anti-aliased, varied, with noise, blur and JPEG artefacts."""

import io
import math
import random
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from service.scenes.scene import Scene, SceneObject

SIDE = 224
"""Side of a rendered picture in pixels: what the encoder takes."""

_SCALE = 2
"""Shapes are drawn at this multiple of the final size, then reduced: that is the anti-aliasing."""

_CELL = SIDE / 3

_COLOURS = {
    "red": (215, 30, 35),
    "orange": (250, 140, 20),
    "yellow": (245, 220, 40),
    "green": (40, 160, 60),
    "blue": (35, 80, 215),
    "purple": (125, 40, 165),
    "pink": (250, 130, 190),
    "black": (15, 15, 15),
}
_BACKGROUNDS = {
    "white": (252, 252, 252),
    "grey": (150, 150, 152),
    "black": (18, 18, 20),
    "beige": (232, 216, 184),
}


@dataclass(frozen=True)
class RenderSettings:
    """How much pictures vary; ranges are drawn from uniformly for every picture or object.

    Attributes:
        radius: Half the extent of an object in pixels, by size.
        jitter: Largest change of a colour channel.
        rotation: Largest rotation in degrees.
        noise: Largest standard deviation of pixel noise, in levels.
        blur: Largest radius of a box blur in pixels.
        jpeg: Range of JPEG qualities; half of the pictures are compressed.
        outline: Share of objects with a dark outline.
        gradient: Largest difference in brightness across the background, in levels.
    """

    radius: dict[str, tuple[float, float]] = field(
        default_factory=lambda: {"small": (14.0, 20.0), "large": (27.0, 35.0)}
    )
    jitter: int = 16
    rotation: float = 12.0
    noise: float = 8.0
    blur: float = 0.9
    jpeg: tuple[int, int] = (35, 95)
    outline: float = 0.25
    gradient: float = 10.0


TRAINING_STYLE = RenderSettings()
SHIFTED_STYLE = RenderSettings(
    radius={"small": (13.0, 18.0), "large": (26.0, 32.0)},
    jitter=22,
    rotation=16.0,
    noise=13.0,
    blur=1.2,
    jpeg=(20, 50),
    outline=0.6,
    gradient=24.0,
)
"""The second, differently drawn evaluation set: noisier, blurrier, tilted, outlined, uneven light."""


def render(
    scene: Scene, rng: random.Random, settings: RenderSettings = TRAINING_STYLE
) -> Image.Image:
    """Draw a scene as an RGB picture of 224 x 224 pixels."""
    return render_labelled(scene, rng, settings).image


@dataclass(frozen=True)
class Labelled:
    """A picture with what a vision model may learn from.

    Attributes:
        located: Where each object came to lie: ``(x, y, radius)`` in pixels.
        silhouette: Grey picture of the same size: white where an object is.
    """

    image: Image.Image
    located: list[tuple[float, float, float]]
    silhouette: Image.Image


def render_labelled(
    scene: Scene, rng: random.Random, settings: RenderSettings = TRAINING_STYLE
) -> Labelled:
    """As :func:`render`, with labels."""
    side = (SIDE * _SCALE,) * 2
    canvas = Image.new("RGB", side, _vary(_BACKGROUNDS[scene.background], rng, 6))
    silhouette = Image.new("L", side, 0)
    located = [_draw(canvas, silhouette, item, rng, settings) for item in scene.objects]
    image = _degrade(canvas.reduce(_SCALE), rng, settings)
    return Labelled(image, located, silhouette.reduce(_SCALE))


def _draw(
    canvas: Image.Image,
    silhouette: Image.Image,
    item: SceneObject,
    rng: random.Random,
    settings: RenderSettings,
) -> tuple[float, float, float]:
    radius = rng.uniform(*settings.radius[item.size])
    slack = max(_CELL / 2 - radius, 0) * 0.6 + 2
    x = (item.column + 0.5) * _CELL + rng.uniform(-slack, slack)
    y = (item.row + 0.5) * _CELL + rng.uniform(-slack, slack)
    x = min(max(x, radius + 1), SIDE - radius - 1)
    y = min(max(y, radius + 1), SIDE - radius - 1)
    located = (x, y, radius)
    x, y, radius = x * _SCALE, y * _SCALE, radius * _SCALE
    fill = _vary(_COLOURS[item.colour], rng, settings.jitter)
    if item.text:
        _write(canvas, silhouette, item.text, (x, y), radius, fill, rng, settings)
        return located
    draw, mask = ImageDraw.Draw(canvas), ImageDraw.Draw(silhouette)
    outline = (
        tuple(int(level * 0.45) for level in fill) if rng.random() < settings.outline else None
    )
    width = int(rng.uniform(1, 2.4) * _SCALE) if outline else 0
    box = (x - radius, y - radius, x + radius, y + radius)
    if item.kind == "circle":
        draw.ellipse(box, fill, outline, width)
        mask.ellipse(box, 255)
    elif item.kind == "ring":
        thickness = int(radius * rng.uniform(0.25, 0.4))
        draw.ellipse(box, None, fill, thickness)
        mask.ellipse(box, None, 255, thickness)
    else:
        turn = math.radians(rng.uniform(-settings.rotation, settings.rotation))
        points = _outline_of(item.kind, rng)
        cos, sin = math.cos(turn) * radius, math.sin(turn) * radius
        corners = [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in points]
        draw.polygon(corners, fill)
        mask.polygon(corners, 255)
        if outline:
            draw.line([*corners, corners[0]], outline, width, joint="curve")
    return located


def _outline_of(kind: str, rng: random.Random) -> list[tuple[float, float]]:
    """Corner points in the unit circle, y downwards."""
    if kind == "square":
        tall = rng.uniform(0.78, 0.9)
        return [(-0.85, -tall), (0.85, -tall), (0.85, tall), (-0.85, tall)]
    if kind == "triangle":
        top = rng.uniform(-0.2, 0.2)
        return [(top, -0.95), (0.95, 0.8), (-0.95, 0.8)]
    if kind == "diamond":
        wide = rng.uniform(0.65, 0.85)
        return [(0, -1), (wide, 0), (0, 1), (-wide, 0)]
    if kind == "cross":
        arm = rng.uniform(0.24, 0.36)
        quarter = [(-arm, -1.0), (arm, -1.0), (arm, -arm)]
        return [point for turn in range(4) for point in _quarter_turns(quarter, turn)]
    if kind == "star":
        inner = rng.uniform(0.38, 0.48)
        return [
            (reach * math.sin(step * math.pi / 5), -reach * math.cos(step * math.pi / 5))
            for step in range(10)
            for reach in (1.0 if step % 2 == 0 else inner,)
        ]
    steps = [step * math.tau / 40 for step in range(40)]  # heart
    return [
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
        )
        for t in steps
    ]


def _quarter_turns(points: list[tuple[float, float]], turns: int) -> list[tuple[float, float]]:
    for _ in range(turns):
        points = [(-y, x) for x, y in points]
    return points


def _write(
    canvas: Image.Image,
    silhouette: Image.Image,
    text: str,
    centre: tuple[float, float],
    radius: float,
    fill: tuple[int, int, int],
    rng: random.Random,
    settings: RenderSettings,
) -> None:
    """Draw text whose longer side is the object's extent, with Pillow's own font."""
    font = _font()
    bold = int(rng.uniform(0, 3.5))
    left, top, right, bottom = font.getbbox(text, stroke_width=bold)
    mask = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8), 0)
    ImageDraw.Draw(mask).text((4 - left, 4 - top), text, 255, font, stroke_width=bold)
    # Words may be as wide as the cell even when small: letters must stay legible.
    extent = 2 * radius if len(text) == 1 else max(2 * radius, 26 * _SCALE + radius)
    factor = extent / max(mask.size)
    mask = mask.resize((max(int(mask.width * factor), 1), max(int(mask.height * factor), 1)))
    mask = mask.rotate(
        rng.uniform(-settings.rotation, settings.rotation) / 2,
        Image.Resampling.BILINEAR,
        expand=True,
    )
    limit = SIDE * _SCALE
    x = min(max(centre[0] - mask.width / 2, 0), limit - mask.width)
    y = min(max(centre[1] - mask.height / 2, 0), limit - mask.height)
    canvas.paste(fill, (int(x), int(y)), mask)
    silhouette.paste(255, (int(x), int(y)), mask)


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(40 * _SCALE)


@cache
def _noise_fields() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    # Drawing 150,000 normal numbers takes longer than all shapes: a few fields, shifted at random.
    return np.random.default_rng(0).standard_normal((8, SIDE, SIDE, 3), dtype=np.float32)


def _degrade(image: Image.Image, rng: random.Random, settings: RenderSettings) -> Image.Image:
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.2, settings.blur)))
    pixels: np.ndarray[Any, np.dtype[Any]] = np.asarray(image, dtype=np.float32)
    slope = rng.uniform(-settings.gradient, settings.gradient)
    ramp = np.linspace(-slope, slope, SIDE).astype(np.float32)
    pixels = pixels + (ramp[:, None, None] if rng.random() < 0.5 else ramp[None, :, None])
    if rng.random() < 0.7:
        grain = _noise_fields()[rng.randrange(8)]
        grain = np.roll(grain, (rng.randrange(SIDE), rng.randrange(SIDE)), (0, 1))
        pixels = pixels + np.float32(rng.uniform(0, settings.noise)) * (
            grain if rng.random() < 0.5 else grain[..., :1]
        )
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(*settings.jpeg))
        image = Image.open(buffer).convert("RGB")
    return image


def _vary(colour: tuple[int, int, int], rng: random.Random, most: int) -> tuple[int, int, int]:
    red, green, blue = (min(max(level + rng.randint(-most, most), 0), 255) for level in colour)
    return red, green, blue
