"""The pixels that each kind of image is decoded to, as numbers that do not come from Pillow.

``docs/explanation/fidelity.md`` gives the reason for each.
"""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from service.images.decoding import decode_pixels

SIZE = 14
Colour = tuple[int, int, int]


def _png(mode: str, value: object, **options: object) -> bytes:
    buffer = BytesIO()
    Image.new(mode, (4, 4), value).save(buffer, "PNG", **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def _cmyk(*ink: int) -> bytes:
    buffer = BytesIO()
    Image.new("CMYK", (4, 4), ink).save(buffer, "TIFF")
    return buffer.getvalue()


def _palette(**options: object) -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    buffer = BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def _gray16(value: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def _sixteen_bits_a_channel(kind: int, *values: int) -> bytes:
    """Write a PNG with one pixel of colour type ``kind``, which Pillow can read but not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 1, 1, 16, kind, 0, 0, 0)
    row = b"\0" + struct.pack(f">{len(values)}H", *values)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(_png("RGB", (10, 20, 30)), (10, 20, 30), id="RGB"),
        pytest.param(_png("RGBA", (10, 20, 30, 0)), (10, 20, 30), id="RGBA, transparent"),
        pytest.param(_png("L", 40), (40, 40, 40), id="grayscale"),
        pytest.param(_png("LA", (40, 0)), (40, 40, 40), id="grayscale, transparent"),
        pytest.param(_png("1", 1), (255, 255, 255), id="bilevel"),
        pytest.param(_palette(), (10, 20, 30), id="palette"),
        pytest.param(_palette(transparency=1), (10, 20, 30), id="palette, transparent"),
        pytest.param(_cmyk(0, 0, 0, 0), (255, 255, 255), id="CMYK, no ink"),
        pytest.param(_cmyk(255, 0, 0, 0), (0, 255, 255), id="CMYK, cyan"),
        pytest.param(_gray16(200), (200, 200, 200), id="16-bit gray, below 256"),
        pytest.param(_gray16(256), (255, 255, 255), id="16-bit gray, clipped"),
        pytest.param(_sixteen_bits_a_channel(2, 0x1234, 0xFF00, 0x00FF), (18, 255, 0), id="RGB16"),
        pytest.param(_sixteen_bits_a_channel(4, 0x1234, 0), (18, 18, 18), id="gray16 with alpha"),
    ],
)
def test_each_mode_is_decoded_like_the_original(data: bytes, expected: Colour) -> None:
    pixels = decode_pixels(data, SIZE, 10**6)
    assert pixels.shape == (SIZE, SIZE, 3)
    assert {tuple(pixel) for pixel in pixels.flatten(0, 1).tolist()} == {expected}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_in_exif_is_ignored(orientation: int) -> None:
    stripes = np.zeros((40, 20, 3), np.uint8)
    stripes[:20, :, 0] = 255  # the upper half red
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain, oriented = BytesIO(), BytesIO()
    Image.fromarray(stripes).save(plain, "JPEG", quality=95)
    Image.fromarray(stripes).save(oriented, "JPEG", quality=95, exif=exif)
    assert b"Exif" in oriented.getvalue()
    pixels = decode_pixels(oriented.getvalue(), SIZE, 10**6)
    assert pixels.equal(decode_pixels(plain.getvalue(), SIZE, 10**6))
    assert pixels[0, :, 0].min() > 200 > 50 > pixels[-1, :, 0].max()


def test_an_image_is_resized_without_keeping_its_aspect_ratio() -> None:
    wide = np.zeros((10, 200, 3), np.uint8)
    wide[:, 100:] = 255
    buffer = BytesIO()
    Image.fromarray(wide).save(buffer, "PNG")
    pixels = decode_pixels(buffer.getvalue(), SIZE, 10**6)
    assert pixels[:, 0].max() < 10
    assert pixels[:, -1].min() > 245
