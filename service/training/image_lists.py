"""Data sets that list image files with texts: JSONL or JSON beside images, or ``cc_sbu_align``."""

import random
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from service.errors import DatasetError
from service.training.records import (
    LIST_FIELDS,
    BadRecordError,
    list_images,
    parse_turns,
    refuse_unknown_fields,
)
from service.training.samples import (
    BadSample,
    InvalidJsonError,
    Part,
    RawSample,
    Turn,
    digest_text,
    parse_json,
)


@dataclass(frozen=True)
class _Entry:
    images: tuple[Path, ...]
    turns: tuple[Turn, ...]
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

    @property
    def has_questions(self) -> bool:
        """Whether a sample has its own question, so that it is not a caption."""
        return any(turn.question is not None for entry in self.entries for turn in entry.turns)

    def split(self, share: float, seed: int) -> tuple["ImageListSource", "ImageListSource"]:
        """Split into a training part and a validation part; every image is in one of them only.

        Raises:
            DatasetError: one of the two parts would be empty.
        """
        images = sorted({str(path) for entry in self.entries for path in entry.images})
        rng = random.Random(f"{seed}/validation")  # noqa: S311 - reproducible
        rng.shuffle(images)
        held_out = set(images[: round(share * len(images))])
        parts: tuple[list[_Entry], list[_Entry]] = ([], [])
        for entry in self.entries:
            parts[any(str(path) in held_out for path in entry.images)].append(entry)
        if not all(parts):
            raise DatasetError(
                f"{self.index}: a share of {share:g} of {len(images)} images leaves nothing to "
                f"{'train on' if parts[1] else 'validate'}."
            )
        return self._with_entries(parts[0]), self._with_entries(parts[1])

    def _with_entries(self, entries: list[_Entry]) -> "ImageListSource":
        part = copy(self)
        part.entries, part.bad = entries, []
        return part

    def read_all(self) -> Iterator[RawSample | BadSample]:
        """Yield every sample once, in the order of the list."""
        return map(_read, self.entries)

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
    """A JSONL file whose lines name images and their texts; see :mod:`.records`.

    A line with ``"keep": false`` is left out, so that a person can strike lines that ``curate``
    wrote.
    """

    def __init__(self, index: Path, image_root: Path | None = None) -> None:
        entries: list[_Entry | BadSample] = []
        content = _read_list(index)
        root = image_root or index.parent
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
            entries.append(_make_entry(record, root, where))
        super().__init__(index, content, entries)


class JsonListSource(ImageListSource):
    """A JSON file with one list of records, as LLaVA's instruction files are."""

    def __init__(self, index: Path, image_root: Path | None = None) -> None:
        content = _read_list(index)
        records = _parse_index(index, content)
        if not isinstance(records, list):
            raise DatasetError(f"{index} holds no list of records.")
        root = image_root or index.parent
        entries = [
            _make_entry(record, root, f"{index}: [{number}]")
            for number, record in enumerate(records)
        ]
        super().__init__(index, content, entries)


class CcSbuAlignSource(ImageListSource):
    """The published data set of stage 2: ``filter_cap.json`` and ``image/<image_id>.jpg``."""

    def __init__(self, folder: Path) -> None:
        index = folder / "filter_cap.json"
        content = _read_list(index)
        parsed = _parse_index(index, content)
        annotations = parsed.get("annotations") if isinstance(parsed, dict) else None
        if not isinstance(annotations, list):
            raise DatasetError(f'{index} has no list "annotations".')
        entries = [
            _make_annotation(record, folder / "image", f"{index}: annotations[{number}]")
            for number, record in enumerate(annotations)
        ]
        super().__init__(index, content, entries)


def _make_entry(record: Any, root: Path, where: str) -> _Entry | BadSample:
    if not isinstance(record, dict):
        return BadSample(where, "no caption")
    refuse_unknown_fields(record, LIST_FIELDS, where)
    return _parse_entry(record, root, "", where)


def _make_annotation(record: Any, root: Path, where: str) -> _Entry | BadSample:
    if not isinstance(record, dict):
        return BadSample(where, "no caption")
    refuse_unknown_fields(record, ("image_id", "caption"), where)
    image = {"image": record["image_id"]} if "image_id" in record else {}
    return _parse_entry({**image, "caption": record.get("caption")}, root, ".jpg", where)


def _parse_entry(record: dict[str, Any], root: Path, suffix: str, where: str) -> _Entry | BadSample:
    try:
        names = list_images(record)
        turns = parse_turns(record, len(names))
    except BadRecordError as error:
        return BadSample(where, error.kind, error.detail)
    return _Entry(tuple(root / f"{name}{suffix}" for name in names), turns, where)


def _parse_index(index: Path, content: bytes) -> Any:
    try:
        return parse_json(content)
    except InvalidJsonError as error:
        raise DatasetError(f"{index}:{error.line}: invalid JSON: {error}.") from error


def _read(entry: _Entry) -> RawSample | BadSample:
    images = []
    for image in entry.images:
        try:
            images.append(image.read_bytes())
        except FileNotFoundError:
            return BadSample(entry.where, "a missing image", str(image))
        except OSError as error:
            return BadSample(entry.where, "an unusable image", f"{image}: {error.strerror}")
        except ValueError:  # the name holds a zero byte or half of a surrogate pair
            return BadSample(entry.where, "a missing image", f"{str(image)!a} is not a file name")
    return RawSample(tuple(images), entry.turns, entry.where)


def _read_list(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"{file} does not exist.") from None
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}.") from error
