"""Data sets that list image files with texts: a folder with a JSONL, and the cc_sbu_align layout."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from service.errors import DatasetError
from service.training.samples import (
    BadSample,
    NoJsonError,
    Part,
    RawSample,
    caption_problem,
    parse_json,
    text_digest,
)


@dataclass(frozen=True)
class _Entry:
    image: Path
    text: str
    where: str


class FolderSource:
    """A list of image files with texts, all known beforehand."""

    def __init__(self, index: Path, content: bytes, entries: Sequence[_Entry | BadSample]) -> None:
        self.index = index
        self.entries = [entry for entry in entries if isinstance(entry, _Entry)]
        self.bad = [entry for entry in entries if isinstance(entry, BadSample)]
        self.name = f"{index.resolve()} ({len(self.entries)} samples, {text_digest(content)})"
        if not self.entries:
            first = f" The first problem: {self.bad[0]}." if self.bad else ""
            raise DatasetError(f"{index} has no usable sample.{first}")

    def __len__(self) -> int:
        return len(self.entries)

    def stream(self, part: Part, seed: int, skip: int = 0) -> Iterator[RawSample | BadSample]:
        """See :class:`~service.training.samples.Source`; it goes on exactly where it was.

        What is skipped is not read.
        """
        failed: set[int] = set()
        readable = False
        for place in islice(self._order(part, seed), skip, None):
            sample = _read(self.entries[place])
            yield sample
            readable = readable or isinstance(sample, RawSample)
            # A part sees another share of the set in each round, so sooner or later all of it.
            if not readable:
                failed.add(place)
            if len(failed) == len(self.entries):
                raise DatasetError(f"{self.index}: not one of its images can be read.")

    def _order(self, part: Part, seed: int) -> Iterator[int]:
        """Endless places of a part's entries, each round in another order."""
        position = part.number
        for epoch in count():
            order = list(range(len(self.entries)))
            random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311 - reproducible order
            yield from order[position :: part.of]
            position += len(range(position, len(order), part.of)) * part.of - len(order)


class JsonlSource(FolderSource):
    """A folder with images and a JSONL file of ``{"image": "a.jpg", "caption": "..."}`` lines.

    A line with ``"keep": false`` is left out: so a person strikes lines from what ``curate`` wrote.
    """

    def __init__(self, index: Path, images: Path | None = None) -> None:
        root = images or index.parent
        entries: list[_Entry | BadSample] = []
        content = _content(index)
        # A JSON text may hold other line separators than this one.
        for number, line in enumerate(content.split(b"\n"), start=1):
            if not line.strip():
                continue
            where = f"{index}:{number}"
            try:
                record = parse_json(line)
            except NoJsonError as error:
                entries.append(BadSample(where, "no JSON", str(error)))
                continue
            if isinstance(record, dict) and record.get("keep") is False:
                continue
            entries.append(_entry(record, "image", root, "", where))
        super().__init__(index, content, entries)


class AlignSource(FolderSource):
    """The published second-stage layout: ``filter_cap.json`` and ``image/<image_id>.jpg``."""

    def __init__(self, folder: Path) -> None:
        index = folder / "filter_cap.json"
        content = _content(index)
        try:
            listed = parse_json(content)
        except NoJsonError as error:
            raise DatasetError(f"{index}:{error.line}: no JSON: {error}.") from error
        annotations = listed.get("annotations") if isinstance(listed, dict) else None
        if not isinstance(annotations, list):
            raise DatasetError(f'{index} has no list "annotations".')
        entries = [
            _entry(record, "image_id", folder / "image", ".jpg", f"{index}: annotations[{number}]")
            for number, record in enumerate(annotations)
        ]
        super().__init__(index, content, entries)


def _entry(record: Any, field: str, root: Path, suffix: str, where: str) -> _Entry | BadSample:
    if not isinstance(record, dict):
        return BadSample(where, "no caption")
    problem = caption_problem(record.get("caption"))
    if problem:
        return BadSample(where, problem)
    image = record.get(field)
    if not isinstance(image, str | int) or image == "":
        return BadSample(where, "no image", f'no "{field}"')
    return _Entry(root / f"{image}{suffix}", record["caption"], where)


def _read(entry: _Entry) -> RawSample | BadSample:
    try:
        return RawSample(entry.image.read_bytes(), entry.text, entry.where)
    except FileNotFoundError:
        return BadSample(entry.where, "a missing image", str(entry.image))
    except OSError as error:
        return BadSample(entry.where, "an unusable image", f"{entry.image}: {error.strerror}")
    except ValueError:  # a zero byte, or half of a surrogate pair
        return BadSample(entry.where, "a missing image", f"{str(entry.image)!a} is no file name")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"{file} does not exist.") from None
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}.") from error
