"""Samples of a data set as encoded images with their turns, and the part that one reader takes."""

import codecs
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from service.families import IMAGE_TOKEN

BadKind = Literal[
    "invalid JSON",
    "no caption",
    "an empty caption",
    "a caption that is not valid text",
    "a caption with the image tag",
    "no answer",
    "an unusable text",
    "two kinds of text",
    "turns out of order",
    "image tags that do not fit the images",
    "no image",
    "a missing image",
    "an unusable image",
    "a damaged shard",
]
"""Why a sample is skipped; a run counts skipped samples by these."""


@dataclass(frozen=True)
class Turn:
    """A question and its answer.

    Attributes:
        question: The question's text, with an image between each two pieces. None for a caption of
            one image: stage 2 draws its instruction.
        answer: What the model learns to say.
    """

    question: tuple[str, ...] | None
    answer: str

    @property
    def images(self) -> int:
        """Images of the question."""
        return 1 if self.question is None else len(self.question) - 1


@dataclass(frozen=True)
class RawSample:
    """Encoded images with their conversation, and where they were found.

    Attributes:
        images: In the order of the conversation.
        turns: At least one.
        where: File and line, or shard and member.
    """

    images: tuple[bytes, ...]
    turns: tuple[Turn, ...]
    where: str

    @classmethod
    def from_caption(cls, image: bytes, caption: str, where: str) -> "RawSample":
        """Make a sample of one image and its caption."""
        return cls((image,), (Turn(None, caption),), where)

    @property
    def text(self) -> str:
        """The caption, or the first answer."""
        return self.turns[0].answer


@dataclass(frozen=True)
class BadSample:
    """A sample that is skipped.

    Attributes:
        where: File and line, or shard and member.
        kind: Why it is skipped.
        detail: More than the kind says, if there is more.
    """

    where: str
    kind: BadKind
    detail: str = ""

    def __str__(self) -> str:
        """Return place and reason as one line."""
        return f"{self.where}: {self.kind}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Part:
    """The part of a data set that a reader takes: every ``count``-th sample from ``index`` on."""

    index: int = 0
    count: int = 1


class Source(Protocol):
    """A data set that training reads.

    Attributes:
        name: Differs from the names of other data sets, so that a run resumes only with the same
            data.
    """

    name: str

    @property
    def bad(self) -> Sequence[BadSample]:
        """Samples that the data set's list shows to be unusable; the stream leaves them out."""
        ...

    def stream(self, part: Part, seed: int, skip: int = 0) -> Iterator[RawSample | BadSample]:
        """Yield a part's samples endlessly in a seeded order, without the first ``skip``."""
        ...


class InvalidJsonError(ValueError):
    """Bytes are not JSON.

    Attributes:
        line: Number of the line with the fault, from 1.
    """

    def __init__(self, why: str, line: int = 1) -> None:
        super().__init__(why)
        self.line = line


def parse_json(content: bytes) -> Any:
    """Parse JSON in UTF-8, with or without a byte order mark.

    Raises:
        InvalidJsonError: the content is not JSON, or too large or too deep for Python's parser.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidJsonError("not UTF-8", line) from None
    except json.JSONDecodeError as error:
        raise InvalidJsonError(error.msg, error.lineno) from None
    except ValueError:
        raise InvalidJsonError("a number with too many digits") from None
    except RecursionError:
        raise InvalidJsonError("nested too deeply") from None


def digest_text(content: bytes) -> str:
    """Return the first digits of a SHA-256, which tell a list of samples from an edited one."""
    return hashlib.sha256(content).hexdigest()[:16]


def find_caption_problem(caption: object) -> BadKind | None:
    """Return why a caption cannot be learnt; None if it can."""
    if not isinstance(caption, str):
        return "no caption"
    if not caption.strip():
        return "an empty caption"
    if IMAGE_TOKEN in caption:
        # The tag would become the place of an image that has no embeddings.
        return "a caption with the image tag"
    try:
        caption.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold
        return "a caption that is not valid text"
    return None
