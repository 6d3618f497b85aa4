"""The batches on disk: a folder for each, with its record, its input and its journal.

Any process may create, read and cancel batches. Only the process that holds the lock
(:mod:`.ownership`) runs them and changes a record that exists. A request to cancel is therefore a
separate file.
"""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp

from service.batches.limits import BatchLimits
from service.batches.record import BATCH_ID, FINISHED, Batch, Endpoint, StoredBatch, new_batch_id
from service.errors import (
    BatchQuotaError,
    NotFoundError,
    RequestError,
    StorageError,
)
from service.files.store import FileStore, translate_disk_errors

RECORD, INPUT, CANCEL = "batch.json", "input", "cancel"
WORKING_FILES = (INPUT, CANCEL, "results", "attempts", "output", "errors")
UNFINISHED = "new-"
UNFINISHED_SECONDS = 3600

MAX_RECORDS = 1000
"""Records of one owner; beyond it, the oldest finished one is removed when a batch is created."""

logger = logging.getLogger("service.batches")


@dataclass(frozen=True)
class BatchOrder:
    """A client's request for a new batch.

    Attributes:
        window: As the client gave it, such as ``24h``.
        window_seconds: The same in seconds.
        output_seconds: Lifetime of the output files, in seconds.
    """

    endpoint: Endpoint
    input_file_id: str
    window: str
    window_seconds: int
    metadata: dict[str, str] | None = None
    output_seconds: int | None = None


class BatchStore:
    """Creates, reads, cancels and saves batches. All methods block: call them on a thread."""

    def __init__(self, root: Path, files: FileStore, limits: BatchLimits) -> None:
        """Create nothing: the first batch creates the folder."""
        self.root = root
        self.files = files
        self.limits = limits
        self._finished: set[Path] = set()
        """Folders of batches that need not be read again to look for unfinished ones."""

    def create(self, owner: str, order: BatchOrder) -> Batch:
        """Store a batch, whole or not at all.

        Raises:
            RequestError: the input file cannot be used.
            BatchQuotaError: the owner has too many unfinished batches.
            StorageError: the disk does not work or is full.
        """
        record = self.files.record(owner, order.input_file_id)
        if record.purpose != "batch":
            raise RequestError(
                "The file was not uploaded with the purpose `batch`.", "input_file_id"
            )
        self._make_room(owner)
        now = int(time.time())
        batch = Batch(
            id=new_batch_id(),
            endpoint=order.endpoint,
            input_file_id=order.input_file_id,
            completion_window=order.window,
            created_at=now,
            expires_at=now + order.window_seconds,
            metadata=order.metadata,
        )
        stored = StoredBatch(batch=batch, owner=owner, output_seconds=order.output_seconds)
        with translate_disk_errors():
            self._write(stored)
        return batch

    def get(self, owner: str, batch_id: str) -> Batch:
        """Return an owner's batch; raises :class:`NotFoundError` and :class:`StorageError`."""
        return self._show(self._folder(owner, batch_id), self.load(owner, batch_id))

    def list(self, owner: str) -> list[Batch]:
        """Return an owner's batches, newest first; raises :class:`StorageError`."""
        found = []
        for folder in _list_folders(self._owner_folder(owner)):
            with suppress(NotFoundError):
                found.append(self._show(folder, _load(folder)))
        return sorted(found, key=lambda batch: (batch.created_at, batch.id), reverse=True)

    def cancel(self, owner: str, batch_id: str) -> Batch:
        """Ask for a batch to be cancelled. Lines that run are finished.

        Raises:
            NotFoundError: the owner has no such batch.
            RequestError: the batch has finished.
            StorageError: the disk does not work.
        """
        folder = self._folder(owner, batch_id)
        stored = self.load(owner, batch_id)
        if stored.batch.status in FINISHED or stored.outcome is not None:
            raise RequestError(
                f"A batch with the status `{stored.batch.status}` cannot be cancelled.", "batch_id"
            )
        with translate_disk_errors():
            (folder / CANCEL).touch()
        return self._show(folder, stored)

    # The methods below are for the process that runs batches.

    def load(self, owner: str, batch_id: str) -> StoredBatch:
        """Read a batch as it is stored; raises :class:`NotFoundError` and :class:`StorageError`."""
        return _load(self._folder(owner, batch_id))

    def save(self, stored: StoredBatch, *, sync: bool = True) -> None:
        """Replace a batch's record; with ``sync``, the change survives a power failure."""
        folder = self._owner_folder(stored.owner) / stored.batch.id
        _replace(folder / RECORD, stored.model_dump_json().encode(), sync=sync)

    def folder_of(self, stored: StoredBatch) -> Path:
        """The batch's folder."""
        return self._owner_folder(stored.owner) / stored.batch.id

    def cancelled_at(self, stored: StoredBatch) -> int | None:
        """Unix time in seconds at which cancelling was asked for."""
        return _modified(self.folder_of(stored) / CANCEL)

    def drop_working_files(self, stored: StoredBatch) -> None:
        """Remove the files that only a running batch needs."""
        for name in WORKING_FILES:
            (self.folder_of(stored) / name).unlink(missing_ok=True)

    def list_unfinished(self) -> Iterator[StoredBatch]:
        """All owners' batches that have not finished."""
        for folder in self._all_folders():
            if folder in self._finished:
                continue
            with suppress(NotFoundError, StorageError):
                stored = _load(folder)
                if stored.batch.status in FINISHED:
                    self._finished.add(folder)
                else:
                    yield stored

    def sweep(self) -> None:
        """Remove old records of finished batches, and folders that a crash left unfinished."""
        self._finished.clear()
        for folder in self._all_folders():
            with suppress(NotFoundError, StorageError):
                finished = _load(folder).batch.status in FINISHED
                if finished and _age(folder / RECORD) > self.limits.record_seconds:
                    shutil.rmtree(folder, ignore_errors=True)
        for folder in self.root.glob(f"*/{UNFINISHED}*"):
            if _age(folder) > UNFINISHED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)

    def _owner_folder(self, owner: str) -> Path:
        # A key's name may be "..", so the folder's name is a hash of it.
        return self.root / sha256(owner.encode()).hexdigest()[:32]

    def _folder(self, owner: str, batch_id: str) -> Path:
        if not BATCH_ID.fullmatch(batch_id):
            raise _no_such_batch()
        return self._owner_folder(owner) / batch_id

    def _all_folders(self) -> Iterator[Path]:
        for owner in self.root.iterdir() if self.root.is_dir() else ():
            yield from _list_folders(owner)

    def _show(self, folder: Path, stored: StoredBatch) -> Batch:
        """The batch as clients see it: ``cancelling`` from the request to cancel on."""
        batch = stored.batch
        cancelled = batch.status in ("validating", "in_progress") and stored.outcome is None
        if cancelled and (at := _modified(folder / CANCEL)) is not None:
            return batch.model_copy(update={"status": "cancelling", "cancelling_at": at})
        return batch

    def _make_room(self, owner: str) -> None:
        batches = self.list(owner)
        unfinished = sum(batch.status not in FINISHED for batch in batches)
        if unfinished >= self.limits.open_batches:
            raise BatchQuotaError(
                f"You have {unfinished} unfinished batches; wait for one to finish or cancel one."
            )
        for batch in batches[MAX_RECORDS - 1 :]:
            if batch.status in FINISHED:
                shutil.rmtree(self._folder(owner, batch.id), ignore_errors=True)

    def _write(self, stored: StoredBatch) -> None:
        """Write a new batch into a folder that appears when it is whole."""
        owner = self._owner_folder(stored.owner)
        owner.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(mkdtemp(dir=owner, prefix=UNFINISHED))
        try:
            # The input is copied, because its owner may delete the file while the batch runs.
            self.files.copy(stored.owner, stored.batch.input_file_id, folder / INPUT)
            _replace(folder / RECORD, stored.model_dump_json().encode())
            folder.rename(owner / stored.batch.id)
            _sync_folder(owner)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _load(folder: Path) -> StoredBatch:
    with translate_disk_errors(missing=_no_such_batch):
        data = (folder / RECORD).read_bytes()
    try:
        return StoredBatch.model_validate_json(data)
    except ValueError as error:
        logger.error("the record of a batch is damaged: %s", error)
        raise _no_such_batch() from error


def _list_folders(owner: Path) -> list[Path]:
    if not owner.is_dir():
        return []
    return [folder for folder in owner.iterdir() if BATCH_ID.fullmatch(folder.name)]


def _replace(path: Path, data: bytes, *, sync: bool = True) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
            os.replace(file.name, path)  # noqa: PTH105 - both are on this disk
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    if sync:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _modified(path: Path) -> int | None:
    try:
        return int(path.stat().st_mtime)
    except FileNotFoundError:
        return None


def _age(path: Path) -> float:
    """Seconds since a file or folder was changed; 0 where it does not exist."""
    modified = _modified(path)
    return 0.0 if modified is None else time.time() - modified


def _no_such_batch() -> NotFoundError:
    return NotFoundError("There is no such batch: it was never created, or its record has expired.")
