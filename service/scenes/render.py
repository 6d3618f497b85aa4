"""Scenes to pictures with Pillow: smooth edges, much variation, the artefacts of photographs."""

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from service.scenes.artefacts import add_artefacts
from service.scenes.lettering import draw_text
from service.scenes.outlines import draw_outline
from service.scenes.render_settings import SCALE, SIDE, TRAINING_STYLE, Colour, RenderSettings
from service.scenes.scene import Scene, SceneObject

_CELL = SIDE / 3
_BACKGROUND_JITTER = 6

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

Location = tuple[float, float, float]
"""Centre and radius of an object in pixels: ``(x, y, radius)``."""


@dataclass(frozen=True)
class LabelledPicture:
    """A picture with labels for a vision model.

    Attributes:
        image: RGB, 224 x 224 pixels.
        located: Where each object is.
        silhouette: Grey picture of the same size: white where an object is.
    """

    image: Image.Image
    located: list[Location]
    silhouette: Image.Image


def render(
    scene: Scene, rng: random.Random, settings: RenderSettings = TRAINING_STYLE
) -> Image.Image:
    """Draw a scene as an RGB picture of 224 x 224 pixels."""
    return render_labelled(scene, rng, settings).image


def render_labelled(
    scene: Scene, rng: random.Random, settings: RenderSettings = TRAINING_STYLE
) -> LabelledPicture:
    """Draw the same picture as :func:`render`, with labels."""
    side = (SIDE * SCALE,) * 2
    background = _vary_colour(_BACKGROUNDS[scene.background], rng, _BACKGROUND_JITTER)
    canvas = Image.new("RGB", side, background)
    silhouette = Image.new("L", side, 0)
    located = [_draw_object(canvas, silhouette, item, rng, settings) for item in scene.objects]
    image = add_artefacts(canvas.reduce(SCALE), rng, settings)
    return LabelledPicture(image, located, silhouette.reduce(SCALE))


def _draw_object(
    canvas: Image.Image,
    silhouette: Image.Image,
    item: SceneObject,
    rng: random.Random,
    settings: RenderSettings,
) -> Location:
    location = _draw_location(item, rng, settings)
    x, y, radius = (value * SCALE for value in location)
    fill = _vary_colour(_COLOURS[item.colour], rng, settings.jitter)
    if item.text:
        draw_text(canvas, silhouette, item.text, (x, y), radius, fill, rng, settings)
    else:
        draw, mask = ImageDraw.Draw(canvas), ImageDraw.Draw(silhouette)
        _draw_shape(draw, mask, item.kind, (x, y, radius), fill, rng, settings)
    return location


def _draw_location(item: SceneObject, rng: random.Random, settings: RenderSettings) -> Location:
    """Draw a random place for an object, in or near its cell."""
    radius = rng.uniform(*settings.radius[item.size])
    slack = max(_CELL / 2 - radius, 0) * 0.6 + 2
    x = (item.column + 0.5) * _CELL + rng.uniform(-slack, slack)
    y = (item.row + 0.5) * _CELL + rng.uniform(-slack, slack)
    x = min(max(x, radius + 1), SIDE - radius - 1)
    y = min(max(y, radius + 1), SIDE - radius - 1)
    return x, y, radius


def _draw_shape(
    draw: ImageDraw.ImageDraw,
    mask: ImageDraw.ImageDraw,
    kind: str,
    location: Location,
    fill: Colour,
    rng: random.Random,
    settings: RenderSettings,
) -> None:
    x, y, radius = location
    outline = (
        tuple(int(level * 0.45) for level in fill) if rng.random() < settings.outline else None
    )
    width = int(rng.uniform(1, 2.4) * SCALE) if outline else 0
    box = (x - radius, y - radius, x + radius, y + radius)
    if kind == "circle":
        draw.ellipse(box, fill, outline, width)
        mask.ellipse(box, 255)
    elif kind == "ring":
        thickness = int(radius * rng.uniform(0.25, 0.4))
        draw.ellipse(box, None, fill, thickness)
        mask.ellipse(box, None, 255, thickness)
    else:
        angle = math.radians(rng.uniform(-settings.rotation, settings.rotation))
        points = draw_outline(kind, rng)
        cos, sin = math.cos(angle) * radius, math.sin(angle) * radius
        corners = [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in points]
        draw.polygon(corners, fill)
        mask.polygon(corners, 255)
        if outline:
            draw.line([*corners, corners[0]], outline, width, joint="curve")


def _vary_colour(colour: Colour, rng: random.Random, most: int) -> Colour:
    red, green, blue = (min(max(level + rng.randint(-most, most), 0), 255) for level in colour)
    return red, green, blue
