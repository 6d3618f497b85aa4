"""Small pictures that differ visibly, and their encodings."""

import base64
from io import BytesIO

from PIL import Image, ImageDraw


def picture(colour: str = "red", size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A disc on a background; different colours give very different pixels."""
    background = {"red": "white", "blue": "black", "green": "yellow"}.get(colour, "white")
    image = Image.new("RGB", size, background)
    ImageDraw.Draw(image).ellipse((size[0] // 8, size[1] // 8, size[0] - 8, size[1] - 8), colour)
    return image


def encoded(image: Image.Image, image_format: str = "PNG") -> bytes:
    """The image as a file of the format."""
    buffer = BytesIO()
    image.save(buffer, image_format)
    return buffer.getvalue()


def data_uri(data: bytes, media_type: str = "image/png") -> str:
    """The bytes as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def picture_uri(colour: str = "red") -> str:
    """A picture, ready to be sent."""
    return data_uri(encoded(picture(colour)))
