"""Random crops of training images, as the code had them that the paper's weights were trained with."""

import math
import random

_ASPECT = (3 / 4, 4 / 3)
_TRIES = 10

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, as Pillow's ``crop`` takes them."""


def random_crop(width: int, height: int, least: float, rng: random.Random) -> Box:
    """A part of an image to train on: what torchvision calls ``RandomResizedCrop``.

    Args:
        width, height: The image's, in pixels.
        least: Share of the area that the crop has at least, in (0, 1]; the aspect ratio is between 3:4
            and 4:3, its logarithm uniform.

    Source: ``blip2_image_train`` of the original before November 2023, with ``least`` 0.5. Since then it keeps
    the whole image.
    """
    for _ in range(_TRIES):
        area = width * height * rng.uniform(least, 1.0)
        aspect = math.exp(rng.uniform(*(math.log(end) for end in _ASPECT)))
        wide, high = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < high <= height:
            left, top = rng.randint(0, width - wide), rng.randint(0, height - high)
            return left, top, left + wide, top + high
    # A long, narrow image has no such part: the middle, as near to these aspect ratios as it allows.
    aspect = min(max(width / height, _ASPECT[0]), _ASPECT[1])
    wide, high = min(width, round(height * aspect)), min(height, round(width / aspect))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high
