"""Decode an untrusted image file to the encoder's pixels. Runs on decoding threads."""

import logging
import warnings
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pillow_heif
import torch
from PIL import Image, ImageFile, ImageOps
from torch import Tensor

from service.errors import ImageFormatError, ImageTooLargeError
from service.images.silence_libtiff import silence_libtiff

# These warnings are about clients' files, and our own limit on pixels is below Pillow's. Filters
# are set once, at import, because changing them is not thread-safe.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", "Palette images with Transparency", UserWarning, "PIL")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
silence_libtiff()

pillow_heif.register_heif_opener(thumbnails=False, decode_threads=1)

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
"""Accepted formats. An animation or a file of several pages counts as its first frame."""

FORMAT_NAMES = ", ".join(FORMATS).replace("WEBP", "WebP").replace("HEIF", "HEIC")


def decode_pixels(
    data: bytes,
    image_size: int,
    max_pixels: int,
    crop: Callable[[int, int], tuple[int, int, int, int]] | None = None,
    upright: bool = False,
    on_size: Callable[[tuple[int, int]], None] | None = None,
) -> Tensor:
    """Decode and resize an image as the original MiniGPT-4 does.

    ``convert("RGB")`` drops alpha without compositing, EXIF orientation is not applied, and
    Pillow's bicubic filter resizes to a square without keeping the aspect ratio.

    Args:
        data: The image file.
        image_size: Side of the square, in pixels.
        max_pixels: Width times height, at most; checked before decoding.
        crop: Maps width and height in pixels to the box to keep (left, top, right, bottom); for
            training.
        upright: Apply the EXIF orientation, which the original does not.
        on_size: Called with the width and the height in pixels, as the model sees the image before
            the resize.

    Returns:
        ``[image_size, image_size, 3]`` uint8.

    Raises:
        ImageFormatError: the data is not an image of an accepted format, or is damaged.
        ImageTooLargeError: the header says more than ``max_pixels``.
    """
    image: Image.Image = _decode(_open(data, max_pixels))
    if upright:
        image = _turn_upright(image)
    if on_size:
        on_size(image.size)
    if crop:
        image = image.crop(crop(*image.size))
    return resize_to_pixels(image, image_size)


def resize_to_pixels(image: Image.Image, image_size: int) -> Tensor:
    """Resize an image of any Pillow mode to ``[image_size, image_size, 3]`` uint8."""
    # convert() would copy an RGB image.
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    resized = rgb.resize((image_size, image_size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized))


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """Read the header only."""
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageTooLargeError.over_pixels(max_pixels) from None
    except Exception:
        # Pillow's readers raise almost any exception on hostile bytes; its text must not reach a
        # client.
        raise ImageFormatError(
            f"The file is not an image of an accepted format ({FORMAT_NAMES})."
        ) from None
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLargeError.over_pixels(max_pixels)
    if width * height == 0:
        raise ImageFormatError("The image has no pixels.")
    return image


def _decode(image: ImageFile.ImageFile) -> Image.Image:
    try:
        image.load()
        return image
    except Exception:
        raise ImageFormatError("The image is truncated or damaged.") from None


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image  # broken EXIF data: the image itself is fine
