"""The store of uploaded files, and of files that the service writes for a client, on disk.

Each owner has a folder, and each of the owner's files is one file with its record in the first line. There is no
index in memory, so a restart loses nothing and replicas may share the folder.
"""

import errno
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

from filelock import FileLock

from service.errors import FileQuotaError, NoSuchFileError, StorageError, StorageFullError
from service.files.record import FILE_ID, FileRecord, Purpose, new_file_id
from service.files.sweep import UNFINISHED, has_expired, sweep
from service.settings import MEBIBYTE, Settings

MAX_FILES = 10_000
"""Maximum number of files of one owner. Listing them takes less than a second."""

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

LOCK = ".lock"
"""File in the store's folder that a process locks while it adds a file."""

logger = logging.getLogger("service.files")


@dataclass(frozen=True)
class StoreLimits:
    """Quota of one owner, and the longest lifetime of a file.

    Attributes:
        owner_bytes: Maximum size of all files of one owner, in bytes.
        owner_files: Maximum number of files of one owner.
        max_age: Seconds after which a file expires at the latest.
    """

    owner_bytes: int
    owner_files: int
    max_age: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "StoreLimits":
        """Read the limits from the settings."""
        return cls(
            owner_bytes=settings.files_mb * MEBIBYTE,
            owner_files=MAX_FILES,
            max_age=max(1, round(settings.files_max_hours * 3600)),
        )


class FileStore:
    """Adds, reads, lists and deletes files. An owner is an API key's name, or "" without keys.

    All methods block: call them on a thread. They are thread-safe.
    """

    def __init__(self, root: Path, limits: StoreLimits, shared: bool = False) -> None:
        """Create nothing: the first file creates the folder.

        Args:
            shared: Other processes of this service add files as well.
        """
        self._root = root
        self._limits = limits
        # Without it, two uploads could pass the quota check together. It does not cover other
        # replicas.
        self._adding = _SharedLock(root) if shared else threading.Lock()

    def add(
        self,
        owner: str,
        data: bytes,
        filename: str,
        age: int | None = None,
        purpose: Purpose = "vision",
    ) -> FileRecord:
        """Store a file, whole or not at all.

        Args:
            age: Seconds after which the file expires; at most ``max_age``, which is the default.
            purpose: As the client gave it.

        Raises:
            FileQuotaError: the owner's files would exceed the quota.
            StorageFullError: the disk is full.
            StorageError: writing to the disk failed for another reason.
        """
        now = int(time.time())
        lifetime = min(age or self._limits.max_age, self._limits.max_age)
        record = FileRecord(
            id=new_file_id(),
            bytes=len(data),
            created_at=now,
            expires_at=now + lifetime,
            filename=filename,
            purpose=purpose,
        )
        with translate_disk_errors(), self._adding:
            self.sweep()
            self._check_quota(owner, len(data))
            self._write(self._folder_of(owner), record, BytesIO(data))
        return record

    def add_output(
        self, owner: str, file_id: str, source: Path, filename: str, age: int | None = None
    ) -> None:
        """Store what the service has written for an owner, whole or not at all, whatever the quota.

        It counts in the quota for the owner's next uploads. Adding the same id again replaces the file.

        Args:
            file_id: From :func:`~service.files.record.new_file_id`.
            source: The content.
            age: As for :meth:`add`.

        Raises:
            StorageFullError, StorageError: as :meth:`add`.
        """
        now = int(time.time())
        lifetime = min(age or self._limits.max_age, self._limits.max_age)
        with translate_disk_errors(), source.open("rb") as content:
            record = FileRecord(
                id=file_id,
                bytes=source.stat().st_size,
                created_at=now,
                expires_at=now + lifetime,
                filename=filename,
                purpose="batch_output",
            )
            self._write(self._folder_of(owner), record, content)

    def record(self, owner: str, file_id: str) -> FileRecord:
        """Return a file's record; raises :class:`NoSuchFileError` and :class:`StorageError`."""
        with translate_disk_errors(), self._find(owner, file_id).open("rb") as file:
            return _parse_record(file.readline())

    def read(self, owner: str, file_id: str) -> bytes:
        """Return a file's content; raises :class:`NoSuchFileError` and :class:`StorageError`."""
        with translate_disk_errors():
            return self._find(owner, file_id).read_bytes().partition(b"\n")[2]

    def open(self, owner: str, file_id: str) -> BinaryIO:
        """Open a file's content for reading; raises :class:`NoSuchFileError` and :class:`StorageError`."""
        with translate_disk_errors():
            file = self._find(owner, file_id).open("rb")
            file.readline()  # the record
            return file

    def copy(self, owner: str, file_id: str, target: Path) -> None:
        """Copy a file's content to ``target``, synced; raises as :meth:`open`."""
        with self.open(owner, file_id) as content, target.open("wb") as copy:
            shutil.copyfileobj(content, copy)
            copy.flush()
            os.fsync(copy.fileno())

    def records(self, owner: str) -> list[FileRecord]:
        """Return the records of an owner, newest first; raises :class:`StorageError`."""
        found = []
        with translate_disk_errors():
            for path in _list_files(self._folder_of(owner)):
                with suppress(NoSuchFileError):
                    found.append(self.record(owner, path.name))
        return sorted(found, key=lambda record: (record.created_at, record.id), reverse=True)

    def delete(self, owner: str, file_id: str) -> None:
        """Remove a file; raises :class:`NoSuchFileError` and :class:`StorageError`."""
        with translate_disk_errors():
            self._find(owner, file_id).unlink()

    def sweep(self) -> int:
        """Remove expired and unfinished uploads; return how many. Other files are left alone."""
        return sweep(self._root)

    def _folder_of(self, owner: str) -> Path:
        # A key's name may be "..", so the folder's name is a hash of it.
        return self._root / sha256(owner.encode()).hexdigest()[:32]

    def _find(self, owner: str, file_id: str) -> Path:
        """Return the path of a file that exists and has not expired."""
        if not FILE_ID.fullmatch(file_id):
            raise _no_such_file()
        path = self._folder_of(owner) / file_id
        if has_expired(path):
            raise _no_such_file()
        return path

    def _check_quota(self, owner: str, size: int) -> None:
        sizes = [path.stat().st_size for path in _list_files(self._folder_of(owner))]
        limits = self._limits
        if len(sizes) >= limits.owner_files:
            raise FileQuotaError(f"You have {limits.owner_files} files already; delete some first.")
        if sum(sizes) + size > limits.owner_bytes:
            raise FileQuotaError(
                f"Your files may have {limits.owner_bytes} bytes in total; delete some first."
            )

    def _write(self, folder: Path, record: FileRecord, content: BinaryIO) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with NamedTemporaryFile(dir=folder, prefix=UNFINISHED, delete=False) as file:
            try:
                file.write(record.model_dump_json().encode() + b"\n")
                shutil.copyfileobj(content, file)
                file.flush()
                os.fsync(file.fileno())
                # The modification time is the time of expiry, readable without opening the file.
                os.utime(file.fileno(), (record.created_at, record.expires_at))
                os.replace(file.name, folder / record.id)  # noqa: PTH105 - both are on this disk
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise


class _SharedLock:
    """A lock over all processes that use a folder: one thread of one process holds it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._threads = threading.Lock()
        self._processes = FileLock(root / LOCK, thread_local=False)

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._processes.acquire()
        except BaseException:
            self._threads.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._processes.release()
        self._threads.release()


def _parse_record(line: bytes) -> FileRecord:
    try:
        return FileRecord.model_validate_json(line)
    except ValueError as error:
        logger.error("an uploaded file is damaged: %s", error)
        raise _no_such_file() from error


def _list_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if FILE_ID.fullmatch(path.name)]


def _no_such_file() -> NoSuchFileError:
    return NoSuchFileError(
        "There is no such file: it was never uploaded, has expired or was deleted."
    )


@contextmanager
def translate_disk_errors(
    missing: Callable[[], Exception] = _no_such_file,
) -> Iterator[None]:
    """Log an error of the operating system and raise our own, without its text.

    ``missing`` makes the error for a file that does not exist.
    """
    try:
        yield
    except FileNotFoundError:
        raise missing() from None  # another request deleted it meanwhile
    except OSError as error:
        logger.error("uploaded files cannot be read or written: %s", error)
        if error.errno in DISK_FULL:
            raise StorageFullError("The disk of the uploaded files is full.") from error
        raise StorageError("Uploaded files are not available now.") from error
