"""What a data set consists of: samples still encoded as bytes, bad ones, and a reader's share of them."""

import codecs
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from service.families import IMAGE_TOKEN

BadKind = Literal[
    "no JSON",
    "no caption",
    "an empty caption",
    "a caption that is no valid text",
    "a caption with the image tag",
    "no image",
    "a missing image",
    "an unusable image",
    "a damaged shard",
]
"""Why a sample is skipped, in the few words that a run counts."""


@dataclass(frozen=True)
class RawSample:
    """An encoded image with its text, and where it was found."""

    image: bytes
    text: str
    where: str


@dataclass(frozen=True)
class BadSample:
    """A sample that is skipped: ``where`` names file and line or member, ``detail`` says more than the kind."""

    where: str
    kind: BadKind
    detail: str = ""

    def __str__(self) -> str:
        """Place and reason, for a person."""
        return f"{self.where}: {self.kind}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Part:
    """Which share of a data set a reader takes: every ``of``-th sample, from ``number``."""

    number: int = 0
    of: int = 1


class Source(Protocol):
    """A data set.

    Attributes:
        name: Tells it from other data sets: a run goes on with the same ones only.
    """

    name: str

    @property
    def bad(self) -> Sequence[BadSample]:
        """What its list alone shows to be unusable; the stream has none of it."""
        ...

    def stream(self, part: Part, seed: int, skip: int = 0) -> Iterator[RawSample | BadSample]:
        """Endless samples of a part in a seeded order, after the first ``skip`` of them, good or bad."""
        ...


class NoJsonError(ValueError):
    """Bytes that are no JSON; ``line`` counts from 1."""

    def __init__(self, why: str, line: int = 1) -> None:
        super().__init__(why)
        self.line = line


def parse_json(content: bytes) -> Any:
    """The value of UTF-8 JSON, with or without a byte order mark.

    Raises:
        NoJsonError: whatever is wrong with it.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NoJsonError("no UTF-8 text", line) from None
    except json.JSONDecodeError as error:
        raise NoJsonError(error.msg, error.lineno) from None
    except ValueError:
        raise NoJsonError("a number with too many digits") from None
    except RecursionError:
        raise NoJsonError("nested too deeply") from None


def text_digest(content: bytes) -> str:
    """Enough digits of a SHA-256 to tell a list of samples from an edited one."""
    return hashlib.sha256(content).hexdigest()[:16]


def caption_problem(caption: object) -> BadKind | None:
    """What keeps a caption from being learnt, if anything does."""
    if not isinstance(caption, str):
        return "no caption"
    if not caption.strip():
        return "an empty caption"
    if IMAGE_TOKEN in caption:
        # It would become an image's place, for which there is no embedding.
        return "a caption with the image tag"
    try:
        caption.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold
        return "a caption that is no valid text"
    return None
