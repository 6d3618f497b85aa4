"""Random crops of training images, as in the code that the paper's weights were trained with."""

import math
import random

_ASPECT = (3 / 4, 4 / 3)
_TRIES = 10

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, as Pillow's ``crop`` takes them."""


def random_crop(width: int, height: int, smallest: float, rng: random.Random) -> Box:
    """Draw a crop of an image, as torchvision's ``RandomResizedCrop`` does.

    Args:
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        smallest: Smallest share of the area, in (0, 1]. The aspect ratio lies between 3:4 and 4:3;
            its logarithm is uniform.

    Source: ``blip2_image_train`` of the original before November 2023, with a share of 0.5. Since
        then
    the original keeps the whole image.
    """
    for _ in range(_TRIES):
        area = width * height * rng.uniform(smallest, 1.0)
        aspect = math.exp(rng.uniform(*(math.log(end) for end in _ASPECT)))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left, top = rng.randint(0, width - crop_width), rng.randint(0, height - crop_height)
            return left, top, left + crop_width, top + crop_height
    return _crop_middle(width, height)


def _crop_middle(width: int, height: int) -> Box:
    """Crop the middle of an image that is too long and narrow for a random crop."""
    aspect = min(max(width / height, _ASPECT[0]), _ASPECT[1])
    crop_width, crop_height = min(width, round(height * aspect)), min(height, round(width / aspect))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return left, top, left + crop_width, top + crop_height
