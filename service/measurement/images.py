"""A folder of images without annotations, a fixed sample of it, and content parts."""

import base64
import mimetypes
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from service.chat_client import Message
from service.errors import EvaluationError

T = TypeVar("T")

ENDINGS = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}
)


class UnreadableImageError(Exception):
    """An image file cannot be read; the message names it, and ``reason`` is the system's."""

    def __init__(self, image: Path, reason: str | None) -> None:
        super().__init__(f"{image} cannot be read: {reason}.")
        self.reason = reason


def find_images(folder: Path) -> list[Path]:
    """The images in a folder and the folders below it, by path; empty where there are none."""
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file()
    )


def image_part(image: Path) -> Message:
    """The content part of a message that holds an image file. Blocks.

    Raises:
        UnreadableImageError: the file cannot be read.
    """
    try:
        data = image.read_bytes()
    except OSError as error:
        raise UnreadableImageError(image, error.strerror) from error
    kind = mimetypes.guess_type(image.name)[0] or "image/jpeg"
    uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": uri}}


def list_images(folder: Path) -> list[Path]:
    """The images in a folder, by name.

    Raises:
        EvaluationError: the folder does not exist or has no images.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder.")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not images:
        raise EvaluationError(f"{folder} has no images ({', '.join(sorted(ENDINGS))}).")
    return images


def draw_sample(things: Sequence[T], number: int, seed: int) -> list[T]:
    """Choose ``number`` things, in their order; the same seed chooses the same things."""
    if not number or number >= len(things):
        return list(things)
    chosen = random.Random(seed).sample(range(len(things)), number)  # noqa: S311
    return [things[at] for at in sorted(chosen)]
