"""Data sets that list image files with texts: a JSONL beside images, or ``cc_sbu_align``."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from service.errors import DatasetError
from service.training.samples import (
    BadSample,
    InvalidJsonError,
    Part,
    RawSample,
    digest_text,
    find_caption_problem,
    parse_json,
)


@dataclass(frozen=True)
class _Entry:
    image: Path
    text: str
    where: str


class ImageListSource:
    """A list of image files with texts, which is read as a whole before training.

    Raises:
        DatasetError: the list has no usable entry.
    """

    def __init__(self, index: Path, content: bytes, entries: Sequence[_Entry | BadSample]) -> None:
        self.index = index
        self.entries = [entry for entry in entries if isinstance(entry, _Entry)]
        self.bad = [entry for entry in entries if isinstance(entry, BadSample)]
        self.name = f"{index.resolve()} ({len(self.entries)} samples, {digest_text(content)})"
        if not self.entries:
            first = f" The first problem: {self.bad[0]}." if self.bad else ""
            raise DatasetError(f"{index} has no usable sample.{first}")

    def stream(self, part: Part, seed: int, skip: int = 0) -> Iterator[RawSample | BadSample]:
        """See :class:`~service.training.samples.Source`.

        A resumed stream continues at the very next sample. The images of skipped samples are not
        read.
        """
        failed: set[int] = set()
        is_readable = False
        for number in islice(self._order(part, seed), skip, None):
            sample = _read(self.entries[number])
            yield sample
            is_readable = is_readable or isinstance(sample, RawSample)
            # A part gets other samples in each round, so in time it sees all of them.
            if not is_readable:
                failed.add(number)
            if len(failed) == len(self.entries):
                raise DatasetError(f"{self.index}: none of its images can be read.")

    def _order(self, part: Part, seed: int) -> Iterator[int]:
        """Yield the numbers of a part's entries endlessly, each round in another order."""
        position = part.index
        for epoch in count():
            order = list(range(len(self.entries)))
            random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311 - reproducible order
            yield from order[position :: part.count]
            position += len(range(position, len(order), part.count)) * part.count - len(order)


class JsonlSource(ImageListSource):
    """A folder with images and a JSONL file of ``{"image": "a.jpg", "caption": "..."}`` lines.

    A line with ``"keep": false`` is left out, so that a person can strike lines that ``curate``
    wrote.
    """

    def __init__(self, index: Path) -> None:
        entries: list[_Entry | BadSample] = []
        content = _read_list(index)
        # Split at the byte \n alone: JSON strings may hold other line separators of Unicode.
        for number, line in enumerate(content.split(b"\n"), start=1):
            if not line.strip():
                continue
            where = f"{index}:{number}"
            try:
                record = parse_json(line)
            except InvalidJsonError as error:
                entries.append(BadSample(where, "invalid JSON", str(error)))
                continue
            if isinstance(record, dict) and record.get("keep") is False:
                continue
            entries.append(_make_entry(record, "image", index.parent, "", where))
        super().__init__(index, content, entries)


class CcSbuAlignSource(ImageListSource):
    """The published data set of stage 2: ``filter_cap.json`` and ``image/<image_id>.jpg``."""

    def __init__(self, folder: Path) -> None:
        index = folder / "filter_cap.json"
        content = _read_list(index)
        try:
            parsed = parse_json(content)
        except InvalidJsonError as error:
            raise DatasetError(f"{index}:{error.line}: invalid JSON: {error}.") from error
        annotations = parsed.get("annotations") if isinstance(parsed, dict) else None
        if not isinstance(annotations, list):
            raise DatasetError(f'{index} has no list "annotations".')
        entries = [
            _make_entry(
                record, "image_id", folder / "image", ".jpg", f"{index}: annotations[{number}]"
            )
            for number, record in enumerate(annotations)
        ]
        super().__init__(index, content, entries)


def _make_entry(record: Any, field: str, root: Path, suffix: str, where: str) -> _Entry | BadSample:
    if not isinstance(record, dict):
        return BadSample(where, "no caption")
    problem = find_caption_problem(record.get("caption"))
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
    except ValueError:  # the name holds a zero byte or half of a surrogate pair
        detail = f"{str(entry.image)!a} is not a file name"
        return BadSample(entry.where, "a missing image", detail)


def _read_list(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"{file} does not exist.") from None
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}.") from error
