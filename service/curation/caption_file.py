"""The JSONL of curated descriptions: a whole line for each image, which is never changed."""

import errno
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from service.errors import AlignmentError

_START = b'{"image": "'
"""The first bytes of every line that ``curate`` writes."""


@dataclass(frozen=True)
class CuratedCaption:
    """One line of the result.

    Attributes:
        image: Path relative to the JSONL's folder.
        caption: The cleaned-up description.
        keep: Whether the filters found nothing; a person may change it. ``align`` reads only kept
            lines.
        problems: What the filters found, or why there is no caption.
        tokens: Estimated number of tokens of the caption.
        raw: The description before the clean-up.
    """

    image: str
    caption: str
    keep: bool
    problems: list[str]
    tokens: int
    raw: str


def read_images(out: Path) -> set[str]:
    """Return the images that a file has lines for, and repair its end.

    A killed run leaves at most a part of the last line, which is removed.

    Raises:
        AlignmentError: ``curate`` did not write one of the lines.
        OSError: the file cannot be read or repaired.
    """
    try:
        # Split at the byte \\n alone: captions may hold other line separators of Unicode.
        *lines, last = out.read_bytes().split(b"\n")
    except FileNotFoundError:
        return set()
    images = {
        _read_image(line, f"{out}:{number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    }
    if last.strip():
        try:
            images.add(_read_image(last, f"{out}:{len(lines) + 1}"))
            _append_bytes(out, b"\n")  # an editor removed the end of the last line
        except AlignmentError:
            if last[: len(_START)] != _START[: len(last)]:
                raise
            os.truncate(out, out.stat().st_size - len(last))
    return images


def append_caption(out: Path, caption: CuratedCaption) -> None:
    """Append a line as a whole, or nothing.

    Raises:
        AlignmentError: it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _append_bytes(out, json.dumps(asdict(caption), ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise AlignmentError(f"{out} cannot be written: {error.strerror}.") from error


def name_image(image: Path, out: Path) -> str:
    """Return the path of an image relative to the JSONL's folder, or else its absolute path."""
    try:
        return str(image.resolve().relative_to(out.resolve().parent))
    except ValueError:
        return str(image.resolve())


def _read_image(line: bytes, where: str) -> str:
    try:
        return str(json.loads(line)["image"])
    except (ValueError, KeyError, TypeError) as error:
        raise AlignmentError(
            f"{where}: this is not a line of curated data; correct or remove it, then run again."
        ) from error


def _append_bytes(out: Path, data: bytes) -> None:
    # Unbuffered: when the disk fills up in the middle of a line, the count of written bytes is
    # short.
    with out.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if file.write(data) < len(data):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
