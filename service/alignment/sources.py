"""Readers of data sets: WebDataset shards, a folder with a JSONL, and the cc_sbu_align layout.

Each yields an endless, shuffled stream of samples still encoded as bytes. What cannot be read is yielded
as a :class:`BadSample` that says where it is; only a data set without any usable sample is an error.
"""

import json
import random
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from service.errors import DatasetError

SHUFFLE_BUFFER = 1000
"""Samples of shards held in memory to be shuffled; as in the original."""

_IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")


@dataclass(frozen=True)
class RawSample:
    """An encoded image with its text, and where it was found."""

    image: bytes
    text: str
    where: str


@dataclass(frozen=True)
class BadSample:
    """A sample that is skipped: ``where`` names file and line or member, ``why`` the reason."""

    where: str
    why: str


@dataclass(frozen=True)
class Part:
    """Which share of a data set a reader takes: every ``of``-th sample, from ``number``."""

    number: int = 0
    of: int = 1


class Source(Protocol):
    """A data set."""

    def stream(self, part: Part, seed: int, skip: int = 0) -> Iterator[RawSample | BadSample]:
        """Endless samples of a part in a seeded order, after the first ``skip`` of them."""
        ...


@dataclass(frozen=True)
class _Entry:
    image: Path
    text: str
    where: str


class FolderSource:
    """A list of image files with texts, all known beforehand."""

    def __init__(self, entries: Sequence[_Entry], bad: Sequence[BadSample], index: Path) -> None:
        if not entries:
            first = f" The first problem: {bad[0].where}: {bad[0].why}." if bad else ""
            raise DatasetError(f"{index} has no usable sample.{first}")
        self.entries, self.bad, self.index = entries, bad, index

    def __len__(self) -> int:
        return len(self.entries)

    def stream(self, part: Part, seed: int, skip: int = 0) -> Iterator[RawSample | BadSample]:
        """See :class:`Source`; a resumed stream goes on exactly where it was."""
        if part.number == 0 and skip == 0:
            yield from self.bad
        yield from islice(self._endless(part, seed), skip, None)

    def _endless(self, part: Part, seed: int) -> Iterator[RawSample | BadSample]:
        position = part.number
        readable = True
        for epoch in count():
            order = list(range(len(self.entries)))
            random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311 - reproducible order
            seen, readable_before, readable = False, readable, False
            while position < len(order):
                seen = True
                sample = _read(self.entries[order[position]])
                readable = readable or isinstance(sample, RawSample)
                yield sample
                position += part.of
            position -= len(order)
            if seen and not (readable or readable_before):
                raise DatasetError(f"{self.index}: not one image of two whole rounds can be read.")


class JsonlSource(FolderSource):
    """A folder with images and a JSONL file of ``{"image": "a.jpg", "caption": "..."}`` lines.

    A line with ``"keep": false`` is left out: so a person strikes lines from what ``curate`` wrote.
    """

    def __init__(self, index: Path, images: Path | None = None) -> None:
        entries: list[_Entry] = []
        bad: list[BadSample] = []
        root = images or index.parent
        for number, line in enumerate(_text(index).splitlines(), start=1):
            where = f"{index}:{number}"
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                bad.append(BadSample(where, f"no JSON: {error.msg}"))
                continue
            if isinstance(record, dict) and record.get("keep") is False:
                continue
            _add(entries, bad, record, root, "image", "", where)
        super().__init__(entries, bad, index)


class AlignSource(FolderSource):
    """The published second-stage layout: ``filter_cap.json`` and ``image/<image_id>.jpg``."""

    def __init__(self, folder: Path) -> None:
        index = folder / "filter_cap.json"
        try:
            annotations = json.loads(_text(index))["annotations"]
        except json.JSONDecodeError as error:
            raise DatasetError(f"{index}:{error.lineno}: no JSON: {error.msg}.") from error
        except (KeyError, TypeError):
            raise DatasetError(f'{index} has no list "annotations".') from None
        entries: list[_Entry] = []
        bad: list[BadSample] = []
        for number, record in enumerate(annotations):
            where = f"{index}: annotations[{number}]"
            _add(entries, bad, record, folder / "image", "image_id", ".jpg", where)
        super().__init__(entries, bad, index)


class ShardSource:
    """WebDataset shards as img2dataset writes them: ``NAME.jpg`` beside ``NAME.json`` or ``NAME.txt``.

    Shards are drawn with replacement and read from front to back through a shuffle buffer. A resumed
    stream draws anew, from a seed that depends on where it resumes.
    """

    def __init__(self, shards: Sequence[Path]) -> None:
        if not shards:
            raise DatasetError("No shard is given: the pattern matches no .tar file.")
        self.shards = list(shards)

    def stream(self, part: Part, seed: int, skip: int = 0) -> Iterator[RawSample | BadSample]:
        """See :class:`Source`."""
        rng = random.Random(f"{seed}/{part.number}/{part.of}/{skip}")  # noqa: S311 - reproducible
        held: list[RawSample] = []
        barren = 0
        while True:
            shard = rng.choice(self.shards)
            usable = False
            for sample in read_shard(shard):
                if isinstance(sample, BadSample):
                    yield sample
                    continue
                usable = True
                held.append(sample)
                if len(held) > SHUFFLE_BUFFER:
                    place = rng.randrange(len(held))
                    held[place], held[-1] = held[-1], held[place]
                    yield held.pop()
            barren = 0 if usable else barren + 1
            if barren > 2 * len(self.shards):
                raise DatasetError(
                    f"{shard}: neither it nor the other shards hold a usable sample."
                )
            # A set smaller than the buffer would otherwise never be seen.
            while len(held) > SHUFFLE_BUFFER // 2 or (held and len(self.shards) == 1):
                yield held.pop(rng.randrange(len(held)))


def read_shard(file: Path) -> Iterator[RawSample | BadSample]:
    """The samples of one tar file in its order; a damaged rest of a file is one bad sample."""
    group: dict[str, bytes] = {}
    key = ""
    try:
        with tarfile.open(file, "r|*") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    continue
                path = PurePosixPath(member.name)
                name, _, suffix = path.name.partition(".")
                name = str(path.parent / name)
                if name != key and group:
                    yield _from_group(file, key, group)
                    group = {}
                key = name
                group[suffix.lower()] = content.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        yield BadSample(str(file), f"cannot be read as a tar file: {error}")
        return
    if group:
        yield _from_group(file, key, group)


def open_source(location: str) -> Source:
    """The data set at ``location``, told by its form.

    A ``.jsonl`` file, a folder with ``filter_cap.json`` or one ``.jsonl``, a ``.tar`` file, a folder of
    ``.tar`` files, or a pattern such as ``cc/{00000..01255}.tar`` or ``cc/*.tar``.

    Raises:
        DatasetError: nothing there, or nothing usable.
    """
    path = Path(location)
    if path.is_dir():
        return _open_folder(path)
    if path.suffix == ".jsonl":
        return JsonlSource(path)
    return ShardSource(expand_shards(location))


def expand_shards(pattern: str) -> list[Path]:
    """Files of ``a/{00..12}.tar`` (all of them, found or not) or of a glob pattern (those found)."""
    braces = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if braces:
        first, last = braces.groups()
        numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
        start, end = pattern[: braces.start()], pattern[braces.end() :]
        return [path for number in numbers for path in expand_shards(f"{start}{number}{end}")]
    path = Path(pattern)
    if any(mark in pattern for mark in "*?["):
        anchor = Path(path.anchor or ".")
        return sorted(anchor.glob(str(path.relative_to(path.anchor) if path.anchor else path)))
    if not path.is_file():
        raise DatasetError(f"{path} does not exist.")
    return [path]


def _open_folder(folder: Path) -> Source:
    if (folder / "filter_cap.json").is_file():
        return AlignSource(folder)
    lists = sorted(folder.glob("*.jsonl"))
    if len(lists) == 1:
        return JsonlSource(lists[0])
    if len(lists) > 1:
        raise DatasetError(f"{folder} holds several .jsonl files; name the one to read.")
    shards = sorted(folder.glob("*.tar"))
    if shards:
        return ShardSource(shards)
    raise DatasetError(f"{folder} holds neither filter_cap.json nor a .jsonl nor .tar files.")


def _add(
    entries: list[_Entry],
    bad: list[BadSample],
    record: Any,
    root: Path,
    field: str,
    suffix: str,
    where: str,
) -> None:
    if not isinstance(record, dict) or not isinstance(record.get("caption"), str):
        bad.append(BadSample(where, 'no text "caption"'))
    elif not record["caption"].strip():
        bad.append(BadSample(where, "an empty caption"))
    elif not isinstance(record.get(field), str | int) or record[field] == "":
        bad.append(BadSample(where, f'no "{field}"'))
    else:
        entries.append(_Entry(root / f"{record[field]}{suffix}", record["caption"], where))


def _read(entry: _Entry) -> RawSample | BadSample:
    try:
        return RawSample(entry.image.read_bytes(), entry.text, entry.where)
    except FileNotFoundError:
        return BadSample(entry.where, f"image {entry.image} is missing")
    except OSError as error:
        return BadSample(entry.where, f"image {entry.image} cannot be read: {error.strerror}")


def _from_group(file: Path, key: str, group: dict[str, bytes]) -> RawSample | BadSample:
    where = f"{file}: {key}"
    image = next((group[suffix] for suffix in _IMAGE_SUFFIXES if suffix in group), None)
    if image is None:
        return BadSample(where, "no image")
    try:
        caption = json.loads(group["json"])["caption"] if "json" in group else group["txt"].decode()
    except (ValueError, KeyError, TypeError):
        return BadSample(where, "no caption in a .json or .txt beside the image")
    if not isinstance(caption, str) or not caption.strip():
        return BadSample(where, "an empty caption")
    return RawSample(image, caption, where)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        raise DatasetError(f"{file} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} cannot be read as UTF-8 text: {error}") from error
