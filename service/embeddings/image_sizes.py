"""The sizes of images as they were sent, for requests that ask for them.

The encoder sees a square, and an image whose embeddings are cached is not decoded at all. Sizes are
therefore kept by the digest of the image.
"""

from collections.abc import Callable

from cachetools import LRUCache

from service.request_context import ImageSize, current_request

MAX_SIZES = 16_384
"""Sizes to keep: a few mebibytes."""

NoteSize = Callable[[ImageSize | None], None]

_sizes: LRUCache[str, ImageSize] = LRUCache(MAX_SIZES)


def reserve_size() -> NoteSize:
    """Take the next place in the request's list; call the result with the size once known."""
    sizes = current_request().image_sizes
    if sizes is None:
        return lambda _: None
    place = len(sizes)
    sizes.append(None)

    def note(size: ImageSize | None) -> None:
        sizes[place] = size

    return note


def is_size_wanted() -> bool:
    """Whether the current request asks for the sizes of its images."""
    return current_request().image_sizes is not None


def keep_size(digest: str, size: ImageSize) -> None:
    """Remember the size of an image. Decoding threads call it."""
    _sizes[digest] = size


def find_size(digest: str) -> ImageSize | None:
    """The size of an image, if it was decoded not long ago."""
    return _sizes.get(digest)
