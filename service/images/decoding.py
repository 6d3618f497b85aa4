"""Bytes of an untrusted image to the encoder's pixels."""

import logging
import warnings
from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor

from service.errors import ImageFormatError, ImageTooLargeError
from service.images.silence_libtiff import silence_libtiff

# About clients' files, not about us; our own limit on pixels is below Pillow's. Set once: filters are
# not safe to change while decoding threads run.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", "Palette images with Transparency", UserWarning, "PIL")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
silence_libtiff()

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Accepted formats; of animations and multi-page files the first frame is used."""


def decode_pixels(
    data: bytes,
    image_size: int,
    max_pixels: int,
    crop: Callable[[int, int], tuple[int, int, int, int]] | None = None,
) -> Tensor:
    """Decode and resize as the original does.

    ``convert("RGB")`` (alpha is dropped, not composited; EXIF orientation is not applied), then
    Pillow's bicubic filter to a square, the aspect ratio not kept.

    Args:
        crop: Of width and height in pixels: the part to keep (left, top, right, bottom), for training.

    Returns:
        ``[image_size, image_size, 3]`` uint8.

    Raises:
        ImageFormatError: no accepted image, or a broken one.
        ImageTooLargeError: more pixels than ``max_pixels``, by its header, before decoding.
    """
    image: Image.Image = _decode(_open(data, max_pixels))
    if crop:
        image = image.crop(crop(*image.size))
    return resize_to_pixels(image, image_size)


def resize_to_pixels(image: Image.Image, image_size: int) -> Tensor:
    """``[image_size, image_size, 3]`` uint8 of an image in any of Pillow's modes."""
    # Converting what is RGB already would copy it.
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    resized = rgb.resize((image_size, image_size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized))


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large(max_pixels) from None
    except Exception:
        # Pillow's readers raise nearly anything on hostile bytes; their words stay here.
        raise ImageFormatError(f"This is no image of an accepted format ({_names()}).") from None
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(max_pixels)
    if width * height == 0:
        raise ImageFormatError("The image has no pixels.")
    return image


def _decode(image: ImageFile.ImageFile) -> Image.Image:
    try:
        image.load()
        return image
    except Exception:
        raise ImageFormatError("The image is truncated or damaged.") from None


def _too_large(max_pixels: int) -> ImageTooLargeError:
    return ImageTooLargeError(f"The image has more than {max_pixels} pixels.")


def _names() -> str:
    return ", ".join(name.replace("WEBP", "WebP") for name in FORMATS)
