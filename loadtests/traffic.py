"""The messages of the load tests: questions about pictures, first turns and follow-ups."""

import base64
import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

Messages = list[dict[str, Any]]

QUESTIONS = ("What is in this picture?", "Which colours are there?", "How many shapes are there?")
ANSWER = "There are two shapes in the picture."
"""The assistant's earlier answer. Its words do not affect the speed."""

SEEN_IMAGES = 8


def picture(seed: int) -> str:
    """Return a data URI of a 224 x 224 PNG; each seed gives different rectangles."""
    random = np.random.default_rng(seed)
    pixels = np.empty((224, 224, 3), np.uint8)
    pixels[:] = random.integers(0, 256, 3)
    for _ in range(4):
        left, top = random.integers(0, 160, 2)
        pixels[top : top + 64, left : left + 64] = random.integers(0, 256, 3)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def photograph(seed: int) -> str:
    """Return a data URI of a JPEG of 300 KB, 1280 x 960; each seed gives different blocks in it."""
    random = np.random.default_rng(seed)
    image = _smooth_noise().copy()
    for _ in range(4):
        left, top = (int(n) for n in random.integers(0, 800, 2))
        image.paste(
            tuple(int(n) for n in random.integers(0, 256, 3)), (left, top, left + 64, top + 64)
        )
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


@lru_cache
def _smooth_noise() -> Image.Image:
    """Blend noise of three scales: it compresses about as well as a photograph."""
    random, size = np.random.default_rng(0), (1280, 960)

    def draw(width: int) -> Image.Image:
        pixels = random.integers(0, 256, (width * 3 // 4, width, 3), np.uint8)
        return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)

    return Image.blend(Image.blend(draw(40), draw(160), 0.3), draw(640), 0.1)


def conversation(image: str | None, turns: int) -> Messages:
    """Make a conversation of ``turns`` questions.

    The last has no answer yet; the first has the image, if any.
    """
    messages: Messages = []
    for turn in range(turns):
        content: list[dict[str, Any]] = [{"type": "text", "text": QUESTIONS[turn % len(QUESTIONS)]}]
        if turn == 0 and image is not None:
            content.insert(0, {"type": "image_url", "image_url": {"url": image}})
        messages.append({"role": "user", "content": content})
        if turn + 1 < turns:
            messages.append({"role": "assistant", "content": ANSWER})
    return messages


def unique_images(seed: int) -> Iterator[Messages]:
    """Make first turns, each about a new image."""
    for number in itertools.count(seed):
        yield conversation(picture(number), 1)


def photographs(seed: int) -> Iterator[Messages]:
    """Make first turns, each about a new photograph."""
    for number in itertools.count(seed):
        yield conversation(photograph(number), 1)


def seen_images(seed: int) -> Iterator[Messages]:
    """Make second and third turns about a few images that repeat."""
    images = [picture(seed + number) for number in range(SEEN_IMAGES)]
    for number in itertools.count():
        yield conversation(images[number % SEEN_IMAGES], 2 + number // SEEN_IMAGES % 2)


def text_only(seed: int) -> Iterator[Messages]:
    """Make questions without an image."""
    for number in itertools.count(seed):
        messages = conversation(None, 1)
        messages[0]["content"][0]["text"] += f" {number}"
        yield messages


WORKLOADS: dict[str, Callable[[int], Iterator[Messages]]] = {
    "unique": unique_images,
    "seen": seen_images,
    "text": text_only,
    "photo": photographs,
}
