"""Decode damaged picture files, in this process.

``python -m tests.fuzz.pictures --cases 20000`` prints the figures as JSON.
"""

import argparse
import json
import random
import resource
from collections import Counter
from io import BytesIO
from time import monotonic
from typing import Any

from PIL import Image

from service.errors import ImageFormatError, ImageTooLargeError
from service.images.decoding import FORMATS, decode_pixels
from tests.pictures import encoded, picture

MAX_PIXELS = 1_000_000
SIDE = 14
EXTREMES = (b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x80\x00")


def originals() -> list[bytes]:
    """Return good files of each accepted format and its variants."""
    image = picture("green", (24, 24))
    files = [encoded(image, name) for name in FORMATS]
    variants: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (image.convert("P"), "PNG", {}),
        (image.convert("I;16"), "PNG", {}),
        (image.convert("RGBA"), "WEBP", {"lossless": True}),
        (image, "JPEG", {"progressive": True}),
        (image.convert("CMYK"), "JPEG", {}),
        (image.convert("L"), "BMP", {}),
        (image.convert("P"), "GIF", {"save_all": True, "append_images": [image.convert("P")]}),
        *((image, "TIFF", {"compression": name}) for name in ("tiff_lzw", "packbits", "jpeg")),
    ]
    for variant, name, options in variants:
        buffer = BytesIO()
        variant.save(buffer, name, **options)
        files.append(buffer.getvalue())
    return files


def mutate(generator: random.Random, files: list[bytes]) -> bytes:
    """Return a damaged copy of one of ``files``: other bytes, sizes, pieces or ends."""
    data = bytearray(generator.choice(files))
    for _ in range(generator.randint(1, 6)):
        place = generator.randrange(len(data) or 1)
        match generator.randrange(6):
            case 0 | 1:
                data[place : place + 1] = bytes([generator.randrange(256)])
            case 2:
                data[place : place + 4] = generator.choice(EXTREMES)
            case 3:
                piece = data[place : place + generator.randrange(64)]
                where = generator.randrange(len(data) or 1)
                data[where:where] = piece
            case 4:
                del data[place : place + generator.randrange(32)]
            case 5 if generator.random() < 0.3:
                data[place:] = generator.choice(files)[place:]
    return bytes(data)


def decode(data: bytes) -> str:
    """Decode a file; return ``decoded`` or the reason of the refusal. Other errors are raised."""
    try:
        pixels = decode_pixels(data, SIDE, MAX_PIXELS)
    except (ImageFormatError, ImageTooLargeError) as error:
        refusal = error
    else:
        assert pixels.shape == (SIDE, SIDE, 3)
        return "decoded"
    assert str(refusal).startswith(("The file is not an image", "The image")), (
        "the message is not ours"
    )
    return type(refusal).__name__


def main() -> None:
    """Decode damaged files and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator, files = random.Random(arguments.seed), originals()
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(arguments.cases):
        data = mutate(generator, files)
        begin = monotonic()
        outcomes[decode(data)] += 1
        slowest = max(slowest, monotonic() - begin)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    figures = {"slowest_seconds": round(slowest, 3), "peak_grown_mib": grown // 1024}
    print(json.dumps({"cases": arguments.cases, "outcomes": outcomes, **figures}))


if __name__ == "__main__":
    main()
