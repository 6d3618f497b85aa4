"""Files on disk: one folder an owner, one file an upload, its record in the first line.

There is no index in memory, so that a restart loses nothing and replicas may share the folder. All of
this blocks: it runs on threads.
"""

import errno
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from service.errors import FileQuotaError, NoSuchFileError, StorageError, StorageFullError
from service.files.record import FILE_ID, FileRecord, new_file_id
from service.files.sweep import UNFINISHED, is_over, sweep
from service.settings import MEBIBYTE, Settings

MAX_FILES = 10_000
"""Uploaded files of one owner: a listing of so many takes less than a second."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

logger = logging.getLogger("service.files")


@dataclass(frozen=True)
class StoreLimits:
    """How much is kept, and how long.

    Attributes:
        owner_bytes: Size of one owner's files at most, in bytes.
        owner_files: Number of one owner's files at most.
        max_age: Seconds after which a file is gone, at most.
    """

    owner_bytes: int
    owner_files: int
    max_age: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "StoreLimits":
        """The limits that the operator's settings describe."""
        return cls(
            owner_bytes=settings.files_mb * MEBIBYTE,
            owner_files=MAX_FILES,
            max_age=max(1, round(settings.files_max_hours * 3600)),
        )


class FileStore:
    """See the module's text. An owner is an API key's name, or empty where there are no keys."""

    def __init__(self, root: Path, limits: StoreLimits) -> None:
        """Nothing is created before the first file."""
        self._root = root
        self._limits = limits
        self._adding = threading.Lock()

    def add(self, owner: str, data: bytes, filename: str, age: int | None = None) -> FileRecord:
        """Keep a file, whole or not at all.

        Args:
            age: Seconds after which it is gone; the store's own limit at most, which is the default.

        Raises:
            FileQuotaError: the owner has as much as one may have.
            StorageFullError: the disk is full.
            StorageError: the disk cannot be written for another reason.
        """
        now = int(time.time())
        lifetime = min(age or self._limits.max_age, self._limits.max_age)
        record = FileRecord(
            id=new_file_id(),
            bytes=len(data),
            created_at=now,
            expires_at=now + lifetime,
            filename=filename,
        )
        with self._adding, _disk_errors():
            self.sweep()
            self._check_quota(owner, len(data))
            self._write(self._folder(owner), record, data)
        return record

    def record(self, owner: str, file_id: str) -> FileRecord:
        """What is known of a file; raises :class:`NoSuchFileError` and :class:`StorageError`."""
        with _disk_errors(), self._path(owner, file_id).open("rb") as file:
            return _head(file.readline())

    def read(self, owner: str, file_id: str) -> bytes:
        """A file's content; raises :class:`NoSuchFileError` and :class:`StorageError`."""
        with _disk_errors():
            return self._path(owner, file_id).read_bytes().partition(b"\n")[2]

    def records(self, owner: str) -> list[FileRecord]:
        """All of an owner's files, the newest first; raises :class:`StorageError`."""
        found = []
        with _disk_errors():
            for path in _files(self._folder(owner)):
                with suppress(NoSuchFileError):
                    found.append(self.record(owner, path.name))
        return sorted(found, key=lambda record: (record.created_at, record.id), reverse=True)

    def delete(self, owner: str, file_id: str) -> None:
        """Remove a file; raises :class:`NoSuchFileError` and :class:`StorageError`."""
        with _disk_errors():
            self._path(owner, file_id).unlink()

    def sweep(self) -> int:
        """Remove what has expired and what was never finished; returns how many files went.

        Nothing that this store did not write is removed, whatever else the root holds.
        """
        return sweep(self._root)

    def _folder(self, owner: str) -> Path:
        # A key's name may be "..": its hash is a name like any other.
        return self._root / sha256(owner.encode()).hexdigest()[:32]

    def _path(self, owner: str, file_id: str) -> Path:
        """Where an existing file is that has not expired."""
        if not FILE_ID.fullmatch(file_id):
            raise _missing()
        path = self._folder(owner) / file_id
        if is_over(path):
            raise _missing()
        return path

    def _check_quota(self, owner: str, size: int) -> None:
        sizes = [path.stat().st_size for path in _files(self._folder(owner))]
        limits = self._limits
        if len(sizes) >= limits.owner_files:
            raise FileQuotaError(
                f"There are {limits.owner_files} files already; delete some first."
            )
        if sum(sizes) + size > limits.owner_bytes:
            raise FileQuotaError(
                f"All files together may have {limits.owner_bytes} bytes; delete some first."
            )

    def _write(self, folder: Path, record: FileRecord, data: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with NamedTemporaryFile(dir=folder, prefix=UNFINISHED, delete=False) as file:
            try:
                file.write(record.model_dump_json().encode() + b"\n")
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                # The moment of expiry, readable without opening the file.
                os.utime(file.fileno(), (record.created_at, record.expires_at))
                os.replace(file.name, folder / record.id)  # noqa: PTH105 - both are on this disk
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise


def _head(line: bytes) -> FileRecord:
    try:
        return FileRecord.model_validate_json(line)
    except ValueError as error:
        logger.error("an uploaded file is damaged: %s", error)
        raise _missing() from error


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if FILE_ID.fullmatch(path.name)]


def _missing() -> NoSuchFileError:
    return NoSuchFileError(
        "There is no such file: it was never uploaded, has expired or is deleted."
    )


@contextmanager
def _disk_errors() -> Iterator[None]:
    """The system's errors as ours; what the system says stays in the log."""
    try:
        yield
    except FileNotFoundError:
        raise _missing() from None  # another request was faster
    except OSError as error:
        logger.error("uploaded files cannot be reached: %s", error)
        if error.errno in FULL:
            raise StorageFullError("No room is left for uploaded files.") from error
        raise StorageError("Uploaded files cannot be reached now.") from error
