"""Image files with random pixels."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


def make_noise(*shape: int, dtype: type = np.uint8) -> np.ndarray[Any, Any]:
    generator = np.random.default_rng(7)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def save_image(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
