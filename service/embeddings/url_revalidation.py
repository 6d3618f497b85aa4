"""Which image a URL led to, for a short time: its server is then only asked whether the image has changed."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from cachetools import TTLCache

from service.vision.encoded_image import EncodedImage

MAX_URLS = 4096
"""URLs that are remembered."""

MAX_LENGTH = 4096
"""Characters of a URL that is remembered. A data URI is longer as a rule, and does not change."""


class Key(NamedTuple):
    """A URL, for one way of preparing its image and, where caches are kept apart, one API key."""

    url: str
    salt: str


@dataclass(frozen=True)
class Seen:
    """An image that a URL led to.

    Attributes:
        digest: Of its content.
        conditions: Headers that ask for it only if it has changed.
    """

    digest: str
    conditions: Mapping[str, str]


class UrlMemory:
    """Used on the event loop only."""

    def __init__(self, seconds: float) -> None:
        """Remember each URL for this time after its image was downloaded; with 0, none."""
        self._seen: TTLCache[Key, Seen] = TTLCache(MAX_URLS, seconds)

    async def recall(
        self, key: Key, find_cached: Callable[[str], Awaitable[EncodedImage | None]]
    ) -> tuple[EncodedImage | None, Mapping[str, str]]:
        """The cached embeddings of the URL's image, and the conditions to ask its server with.

        Without the embeddings an unchanged image would be of no use, so there are no conditions either.
        """
        seen = self._seen.get(key) if len(key.url) <= MAX_LENGTH else None
        image = await find_cached(seen.digest) if seen else None
        return (image, seen.conditions) if seen and image else (None, {})

    def remember(self, key: Key, digest: str, conditions: Mapping[str, str]) -> None:
        """Remember what was downloaded, if its server names its version."""
        if conditions and len(key.url) <= MAX_LENGTH:
            self._seen[key] = Seen(digest, conditions)


@cache
def url_memory(seconds: float) -> UrlMemory:
    """This process's memory."""
    return UrlMemory(seconds)
