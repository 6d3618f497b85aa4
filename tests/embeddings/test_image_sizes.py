"""The sizes of a request's images, as their boxes need them."""

import asyncio
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest
from PIL import Image

from service.embeddings import image_sizes
from service.embeddings.encode import encode_source
from service.errors import ImageFormatError
from service.request_context import (
    ImageSize,
    RequestContext,
    current_request,
    enter_request,
    leave_request,
)
from service.settings import load_settings
from service.vision import shared
from service.vision.runtime import EncodingRuntime
from tests.pictures import data_uri, encoded, picture

ROTATED = 6
"""The EXIF orientation of a camera that was turned."""


@pytest.fixture
def sizes(
    start_runtime: Callable[..., EncodingRuntime], monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[ImageSize | None]]:
    """The list that a request for boxes has made."""
    runtime = start_runtime()
    monkeypatch.setattr("service.embeddings.encode.shared_runtime", lambda: runtime)
    monkeypatch.setattr(shared._process, "settings", load_settings())
    noted: list[ImageSize | None] = []
    token = enter_request(RequestContext(image_sizes=noted))
    yield noted
    leave_request(token)


def uri(size: tuple[int, int], orientation: int | None = None) -> str:
    image = picture("blue", size)  # black corners: the fake encoder fails on white ones
    if orientation is None:
        return data_uri(encoded(image))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return data_uri(buffer.getvalue(), "image/jpeg")


async def test_sizes_come_in_the_order_of_the_images(sizes: list[ImageSize | None]) -> None:
    await asyncio.gather(*(encode_source(uri(size)) for size in ((641, 33), (17, 999))))
    assert sizes == [(641, 33), (17, 999)]


@pytest.mark.parametrize(("wanted", "size"), [("stored", (61, 40)), ("exif", (40, 61))])
async def test_the_size_is_that_of_the_image_as_the_model_sees_it(
    sizes: list[ImageSize | None], wanted: str, size: ImageSize
) -> None:
    await encode_source(uri((61, 40), ROTATED), wanted)
    assert sizes == [size]


async def test_a_cached_image_has_its_size(sizes: list[ImageSize | None]) -> None:
    for _ in range(2):
        await encode_source(uri((53, 47)))
    image_sizes._sizes.clear()
    await encode_source(uri((53, 47)))
    assert sizes == [(53, 47)] * 3


async def test_an_image_that_cannot_be_read_leaves_a_gap(sizes: list[ImageSize | None]) -> None:
    with pytest.raises(ImageFormatError):
        await encode_source(data_uri(b"nothing"))
    await encode_source(uri((19, 23)))
    assert sizes == [None, (19, 23)]


async def test_other_requests_have_no_sizes(sizes: list[ImageSize | None]) -> None:
    current_request().image_sizes = None
    await encode_source(uri((29, 31)))
    assert sizes == []
