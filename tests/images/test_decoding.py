"""Decoding of untrusted bytes gives the original's pixels or one of our own errors."""

import random
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from service.errors import ImageFormatError, ImageTooLargeError
from service.images.decoding import FORMATS, decode_pixels
from tests.mutations import mutate
from tests.pictures import encoded, picture

LIMIT = 1_000_000


def resize_as_original(image: Image.Image, size: int) -> np.ndarray:
    """Convert to RGB, then do torchvision's ``Resize((size, size), BICUBIC)`` with Pillow."""
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_accepted_format_decodes(image_format: str) -> None:
    data = encoded(picture("red", (50, 30)), image_format)
    pixels = decode_pixels(data, 28, LIMIT)
    assert pixels.shape == (28, 28, 3)
    assert pixels.dtype == torch.uint8
    assert np.array_equal(pixels, resize_as_original(Image.open(BytesIO(data)), 28))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P", "1"])
def test_every_mode_is_converted_as_the_original_does(mode: str) -> None:
    image = picture("blue", (40, 60)).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = encoded(image.convert(mode))
    assert np.array_equal(
        decode_pixels(data, 14, LIMIT), resize_as_original(image.convert(mode), 14)
    )


def test_an_rgb_image_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy would double the memory of a large image."""
    image = picture("red", (50, 30))
    expected = resize_as_original(image, 14)

    def copy(*_: object, **__: object) -> None:
        pytest.fail("the image was copied")

    monkeypatch.setattr(Image.Image, "convert", copy)
    assert np.array_equal(decode_pixels(encoded(image), 14, LIMIT), expected)


def test_alpha_is_dropped_not_composited() -> None:
    data = encoded(Image.new("RGBA", (8, 8), (200, 10, 10, 0)))
    assert decode_pixels(data, 8, LIMIT)[0, 0].tolist() == [200, 10, 10]


def test_exif_orientation_is_not_applied() -> None:
    """The exception is TIFF, which Pillow itself rotates by its orientation."""
    image = Image.new("RGB", (16, 16), "white")
    image.paste("black", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    pixels = decode_pixels(buffer.getvalue(), 16, LIMIT)
    assert pixels[0].max() < 50
    assert pixels[15].min() > 200


@pytest.mark.parametrize("image_format", ["GIF", "TIFF", "WEBP"])
def test_only_the_first_frame_is_decoded(image_format: str) -> None:
    buffer = BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if image_format == "WEBP" else {}
    frames[0].save(buffer, image_format, save_all=True, append_images=frames[1:], **options)
    red, green, blue = decode_pixels(buffer.getvalue(), 8, LIMIT)[0, 0].tolist()
    assert red > 200
    assert green < 60
    assert blue < 60


def test_the_limit_on_pixels_is_checked_before_decoding() -> None:
    buffer = BytesIO()
    Image.new("1", (1001, 1000)).save(buffer, "PNG")
    with pytest.raises(ImageTooLargeError, match="1000000 pixels"):
        decode_pixels(buffer.getvalue(), 14, LIMIT)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    buffer = BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    with pytest.raises(ImageTooLargeError):
        decode_pixels(buffer.getvalue(), 14, 10**9)


@pytest.mark.parametrize("other", ["PPM", "ICO", "EPS", "TGA"])
def test_other_formats_are_refused(other: str) -> None:
    with pytest.raises(ImageFormatError, match="accepted format"):
        decode_pixels(encoded(picture(), other), 14, LIMIT)


@pytest.mark.parametrize("image_format", FORMATS)
def test_mutated_files_decode_or_are_refused(image_format: str) -> None:
    """Only our own errors are raised, with our own messages."""
    generator = random.Random(f"mutations of {image_format}")
    original = encoded(picture("green", (24, 24)), image_format)
    refused = 0
    for _ in range(350):
        message = decoding_error(mutate(generator, original, changes=8, cut_share=0.3))
        refused += message is not None
        assert message is None or message.startswith(("The file is not an image", "The image"))
    assert refused > 20, "too few mutations were refused for a useful test"


def decoding_error(data: bytes) -> str | None:
    """Return the message of our own error, if one is raised. Any other exception fails the test."""
    try:
        assert decode_pixels(data, 14, LIMIT).shape == (14, 14, 3)
    except (ImageFormatError, ImageTooLargeError) as error:
        return str(error)
    return None


def test_broken_files_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Without precautions, libtiff and Pillow print warnings about each of these files."""
    generator = random.Random(1)
    black_and_white = Image.effect_noise((64, 64), 50).convert("1")
    photo = Image.effect_noise((64, 64), 50).convert("RGB")
    for image, compression in (
        (black_and_white, "group4"),
        (photo, "jpeg"),
        (photo, "tiff_lzw"),
        (photo, "tiff_adobe_deflate"),
    ):
        buffer = BytesIO()
        image.save(buffer, "TIFF", compression=compression)
        for _ in range(100):
            with suppress(ImageFormatError, ImageTooLargeError):
                decode_pixels(mutate(generator, buffer.getvalue(), changes=5), 14, LIMIT)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("image_format", ["AVIF", "HEIF"])
def test_phone_formats_are_bounded_before_they_are_decoded(image_format: str) -> None:
    data = encoded(picture("red", (50, 30)), image_format)
    with pytest.raises(ImageTooLargeError):
        decode_pixels(data, 28, 50 * 30 - 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright_only_when_asked_for(orientation: int) -> None:
    image = picture("red", (40, 20))
    image.paste((0, 0, 255), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = BytesIO()
    image.save(buffer, "PNG", exif=exif)
    stored = decode_pixels(buffer.getvalue(), 8, LIMIT)
    assert np.array_equal(stored, resize_as_original(image, 8))
    upright = decode_pixels(buffer.getvalue(), 8, LIMIT, upright=True)
    expected = ImageOps.exif_transpose(Image.open(BytesIO(buffer.getvalue())))
    assert np.array_equal(upright, resize_as_original(expected, 8))


def test_broken_exif_data_does_not_break_the_image() -> None:
    buffer = BytesIO()
    picture("red", (40, 20)).save(buffer, "JPEG", exif=b"Exif\x00\x00broken")
    assert decode_pixels(buffer.getvalue(), 8, LIMIT, upright=True).shape == (8, 8, 3)
