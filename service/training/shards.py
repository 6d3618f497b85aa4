"""WebDataset shards: tar files of images and captions, as img2dataset writes them."""

import random
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from service.errors import DatasetError
from service.training.records import TEXT_FIELDS, BadRecordError, parse_turns
from service.training.samples import (
    BadSample,
    InvalidJsonError,
    Part,
    RawSample,
    digest_text,
    parse_json,
)

SHUFFLE_BUFFER = 1000
"""Samples held in memory to be shuffled, as in the original."""

_IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")


class ShardSource:
    """WebDataset shards with ``NAME.jpg`` beside ``NAME.json`` or ``NAME.txt``.

    Shards are drawn with replacement and read from front to back through a shuffle buffer. A
    resumed stream draws new shards, with a seed that depends on where it resumes.
    """

    def __init__(self, shards: Sequence[Path]) -> None:
        if not shards:
            raise DatasetError("No shard is given: the pattern matches no .tar file.")
        self.shards = list(shards)
        self.bad: list[BadSample] = []
        first, last = self.shards[0].resolve(), self.shards[-1].resolve()
        # Reading terabytes for a digest takes too long; a changed shard nearly always has another
        # size.
        sizes = "".join(f"{shard.name} {_size_of(shard)}\n" for shard in self.shards)
        digest = digest_text(sizes.encode())
        self.name = f"{len(self.shards)} shards, {first} to {last} ({digest})"

    def stream(self, part: Part, seed: int, skip: int = 0) -> Iterator[RawSample | BadSample]:
        """See :class:`~service.training.samples.Source`."""
        rng = random.Random(f"{seed}/{part.index}/{part.count}/{skip}")  # noqa: S311 - reproducible
        buffer: list[RawSample] = []
        without_samples: set[Path] = set()
        while True:
            shard = rng.choice(self.shards)
            without_samples.add(shard)
            for sample in read_shard(shard):
                if isinstance(sample, BadSample):
                    yield sample
                    continue
                without_samples.discard(shard)
                buffer.append(sample)
                if len(buffer) > SHUFFLE_BUFFER:
                    place = rng.randrange(len(buffer))
                    buffer[place], buffer[-1] = buffer[-1], buffer[place]
                    yield buffer.pop()
            if without_samples.issuperset(self.shards):
                raise DatasetError(f"No shard has a usable sample; the last one read is {shard}.")
            # Without this, the samples of a set smaller than the buffer would never be yielded.
            while len(buffer) > SHUFFLE_BUFFER // 2 or (buffer and len(self.shards) == 1):
                yield buffer.pop(rng.randrange(len(buffer)))


class _CheckedHeader(tarfile.TarInfo):
    """A header that raises if it is damaged; tarfile would take it for the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_CheckedHeader":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):  # the archive's end
                raise
            raise tarfile.ReadError(f"a damaged header ({error})") from None


def read_shard(file: Path) -> Iterator[RawSample | BadSample]:
    """Yield the samples of a tar file in its order; a damaged rest is one bad sample."""
    group: dict[str, bytes] = {}
    key = ""
    try:
        with tarfile.open(file, "r|*", tarinfo=_CheckedHeader) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    continue
                path = PurePosixPath(member.name)
                name, _, suffix = path.name.partition(".")
                name = str(path.parent / name)
                if name != key and group:
                    yield _make_sample(file, key, group)
                    group = {}
                key = name
                group[suffix.lower()] = content.read()
            _check_end(archive)
    except (tarfile.TarError, OSError, EOFError) as error:
        yield BadSample(str(file), "a damaged shard", str(error))
        return
    if group:
        yield _make_sample(file, key, group)


def _check_end(archive: tarfile.TarFile) -> None:
    # Two blocks of zeros end an archive. A single one is a header that was overwritten.
    rest = archive.fileobj.read(tarfile.BLOCKSIZE) if archive.fileobj else b""
    if any(rest):
        raise tarfile.ReadError("a header of zeros before the end")


def _make_sample(file: Path, key: str, group: dict[str, bytes]) -> RawSample | BadSample:
    where = f"{file}: {key}"
    image = next((group[suffix] for suffix in _IMAGE_SUFFIXES if suffix in group), None)
    if image is None:
        return BadSample(where, "no image")
    try:
        record = (
            parse_json(group["json"]) if "json" in group else {"caption": group["txt"].decode()}
        )
        # Beside the text, img2dataset writes many fields about the download.
        texts = {name: value for name, value in record.items() if name in TEXT_FIELDS}
    except (InvalidJsonError, UnicodeDecodeError, KeyError, AttributeError):
        texts = {}
    if not texts:
        return BadSample(where, "no caption", "in a .json or .txt beside the image")
    try:
        return RawSample((image,), parse_turns(texts, 1), where)
    except BadRecordError as error:
        return BadSample(where, error.kind, error.detail)


def expand_shards(pattern: str) -> list[Path]:
    """List the files of a pattern.

    Braces such as ``a/{00..12}.tar`` name every file, and each must exist. A glob pattern lists the
    files that it finds.

    Raises:
        DatasetError: a file does not exist.
    """
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


def _size_of(shard: Path) -> int:
    try:
        return shard.stat().st_size
    except OSError:  # reading the shard will report it
        return -1
