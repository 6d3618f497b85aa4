"""WebDataset shards: tar files of images and captions, as img2dataset writes them."""

import random
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

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

SHUFFLE_BUFFER = 1000
"""Samples of shards held in memory to be shuffled; as in the original."""

_IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")


class ShardSource:
    """WebDataset shards as img2dataset writes them: ``NAME.jpg`` beside ``NAME.json`` or ``NAME.txt``.

    Shards are drawn with replacement and read from front to back through a shuffle buffer. A resumed
    stream draws anew, from a seed that depends on where it resumes.
    """

    def __init__(self, shards: Sequence[Path]) -> None:
        if not shards:
            raise DatasetError("No shard is given: the pattern matches no .tar file.")
        self.shards = list(shards)
        self.bad: list[BadSample] = []
        first, last = self.shards[0].resolve(), self.shards[-1].resolve()
        # Terabytes are not read for this: a shard that is written anew has another size nearly always.
        sizes = "".join(f"{shard.name} {_size(shard)}\n" for shard in self.shards)
        digest = text_digest(sizes.encode())
        self.name = f"{len(self.shards)} shards, {first} to {last} ({digest})"

    def stream(self, part: Part, seed: int, skip: int = 0) -> Iterator[RawSample | BadSample]:
        """See :class:`~service.training.samples.Source`."""
        rng = random.Random(f"{seed}/{part.number}/{part.of}/{skip}")  # noqa: S311 - reproducible
        held: list[RawSample] = []
        barren: set[Path] = set()
        while True:
            shard = rng.choice(self.shards)
            barren.add(shard)
            for sample in read_shard(shard):
                if isinstance(sample, BadSample):
                    yield sample
                    continue
                barren.discard(shard)
                held.append(sample)
                if len(held) > SHUFFLE_BUFFER:
                    place = rng.randrange(len(held))
                    held[place], held[-1] = held[-1], held[place]
                    yield held.pop()
            if barren.issuperset(self.shards):
                raise DatasetError(
                    f"{shard}: neither it nor the other shards hold a usable sample."
                )
            # A set smaller than the buffer would otherwise never be seen.
            while len(held) > SHUFFLE_BUFFER // 2 or (held and len(self.shards) == 1):
                yield held.pop(rng.randrange(len(held)))


class _CheckedHeader(tarfile.TarInfo):
    """A header whose damage is an error: tarfile takes it for the archive's end after the first one."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_CheckedHeader":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):  # the archive's end
                raise
            raise tarfile.ReadError(f"a damaged header ({error})") from None


def read_shard(file: Path) -> Iterator[RawSample | BadSample]:
    """The samples of one tar file in its order; a damaged rest of a file is one bad sample."""
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
                    yield _from_group(file, key, group)
                    group = {}
                key = name
                group[suffix.lower()] = content.read()
            _check_end(archive)
    except (tarfile.TarError, OSError, EOFError) as error:
        yield BadSample(str(file), "a damaged shard", str(error))
        return
    if group:
        yield _from_group(file, key, group)


def _check_end(archive: tarfile.TarFile) -> None:
    # Two blocks of zeros end an archive; one alone is a header that was wiped out.
    rest = archive.fileobj.read(tarfile.BLOCKSIZE) if archive.fileobj else b""
    if any(rest):
        raise tarfile.ReadError("a header of zeros before the end")


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


def _size(shard: Path) -> int:
    try:
        return shard.stat().st_size
    except OSError:  # reading it will say so
        return -1


def _from_group(file: Path, key: str, group: dict[str, bytes]) -> RawSample | BadSample:
    where = f"{file}: {key}"
    image = next((group[suffix] for suffix in _IMAGE_SUFFIXES if suffix in group), None)
    if image is None:
        return BadSample(where, "no image")
    try:
        caption = parse_json(group["json"])["caption"] if "json" in group else group["txt"].decode()
    except (NoJsonError, UnicodeDecodeError, KeyError, TypeError):
        return BadSample(where, "no caption", "in a .json or .txt beside the image")
    problem = caption_problem(caption)
    return BadSample(where, problem) if problem else RawSample(image, caption, where)
