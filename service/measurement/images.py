"""A folder of images without any annotations, and a fixed sample of them."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from service.errors import EvaluationError

T = TypeVar("T")

_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}


def list_images(folder: Path) -> list[Path]:
    """The images in a folder, by name.

    Raises:
        EvaluationError: the folder does not exist or has no images.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder.")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)
    if not images:
        raise EvaluationError(f"{folder} has no images ({', '.join(sorted(_ENDINGS))}).")
    return images


def draw_sample(things: Sequence[T], number: int, seed: int) -> list[T]:
    """``number`` of the things in their order, the same for the same seed; all if there are fewer."""
    if not number or number >= len(things):
        return list(things)
    chosen = random.Random(seed).sample(range(len(things)), number)  # noqa: S311
    return [things[at] for at in sorted(chosen)]
