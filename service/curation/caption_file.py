"""The JSONL of curated descriptions: one line an image, written at once and never touched again."""

import errno
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from service.errors import AlignmentError

_START = b'{"image": "'
"""How every line that we write starts."""


@dataclass(frozen=True)
class Curated:
    """One line of the result.

    Attributes:
        image: Path relative to the JSONL's folder.
        caption: The cleaned-up description.
        keep: Whether the filters found nothing; a person may change it. ``align`` reads only kept lines.
        problems: What the filters found, or why there is no caption.
        tokens: About how many the caption has.
        raw: The description before the clean-up.
    """

    image: str
    caption: str
    keep: bool
    problems: list[str]
    tokens: int
    raw: str


def images_in(out: Path) -> set[str]:
    """Images that a file has a line for; what a killed run left of a last line is taken off.

    Raises:
        AlignmentError: a line that ``curate`` did not write.
        OSError: the file cannot be read or mended.
    """
    try:
        # At the byte \\n alone: captions may hold other characters that Unicode counts as line ends.
        *lines, last = out.read_bytes().split(b"\n")
    except FileNotFoundError:
        return set()
    images = {
        _image(line, f"{out}:{number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    }
    if last.strip():
        try:
            images.add(_image(last, f"{out}:{len(lines) + 1}"))
            _append(out, b"\n")  # an editor left it off
        except AlignmentError:
            if last[: len(_START)] != _START[: len(last)]:
                raise
            os.truncate(out, out.stat().st_size - len(last))
    return images


def append(out: Path, line: Curated) -> None:
    """Add a line: the whole of it, or nothing.

    Raises:
        AlignmentError: it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _append(out, json.dumps(asdict(line), ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise AlignmentError(f"{out} cannot be written: {error.strerror}.") from error


def name_of(image: Path, out: Path) -> str:
    """The image's path as the JSONL names it: relative to the JSONL's folder where that works."""
    try:
        return str(image.resolve().relative_to(out.resolve().parent))
    except ValueError:
        return str(image.resolve())


def _image(line: bytes, where: str) -> str:
    try:
        return str(json.loads(line)["image"])
    except (ValueError, KeyError, TypeError) as error:
        raise AlignmentError(
            f"{where}: no line of curated data; mend or remove it, then run again."
        ) from error


def _append(out: Path, data: bytes) -> None:
    # Unbuffered, so that a disk that fills up in mid-line shows here as a short count.
    with out.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if file.write(data) < len(data):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
