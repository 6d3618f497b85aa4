"""Artefacts of a photograph: blur, uneven light, noise, JPEG compression."""

import io
import random
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from service.scenes.render_settings import SIDE, RenderSettings


def add_artefacts(image: Image.Image, rng: random.Random, settings: RenderSettings) -> Image.Image:
    """Return a picture with random artefacts."""
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.2, settings.blur)))
    pixels: np.ndarray[Any, np.dtype[Any]] = np.asarray(image, dtype=np.float32)
    slope = rng.uniform(-settings.gradient, settings.gradient)
    ramp = np.linspace(-slope, slope, SIDE).astype(np.float32)
    pixels = pixels + (ramp[:, None, None] if rng.random() < 0.5 else ramp[None, :, None])
    if rng.random() < 0.7:
        grain = _make_noise_fields()[rng.randrange(8)]
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


@cache
def _make_noise_fields() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    # Drawing 150,000 normal numbers takes longer than all shapes, so a few fields are shifted at
    # random.
    return np.random.default_rng(0).standard_normal((8, SIDE, SIDE, 3), dtype=np.float32)
