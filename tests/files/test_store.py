"""The store on disk: separate owners, quotas, expiry, restarts, disk errors."""

import errno
import os
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest

from service.errors import FileQuotaError, NoSuchFileError, StorageError, StorageFullError
from service.files.record import FILE_ID, shown_filename
from service.files.store import FileStore, StoreLimits
from service.files.sweep import UNFINISHED

LIMITS = StoreLimits(owner_bytes=100_000, owner_files=5, max_age=3600)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(root, LIMITS)


def list_contents(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_a_stored_file_is_read_back(store: FileStore) -> None:
    record = store.add("alice", b"one\ntwo", "cat.png")
    assert FILE_ID.fullmatch(record.id)
    assert record.bytes == 7
    assert record.filename == "cat.png"
    assert record.expires_at == record.created_at + 3600
    assert store.read("alice", record.id) == b"one\ntwo"
    assert store.record("alice", record.id) == record
    assert store.records("alice") == [record]


def test_a_restart_loses_nothing(store: FileStore, root: Path) -> None:
    record = store.add("alice", b"data", "cat.png")
    after = FileStore(root, LIMITS)
    assert after.records("alice") == [record]
    assert after.read("alice", record.id) == b"data"


@pytest.mark.parametrize("other", ["", "bob", "..", "alice/", "Alice"])
def test_an_owner_cannot_reach_the_file_of_another(store: FileStore, other: str) -> None:
    record = store.add("alice", b"data", "cat.png")
    assert store.records(other) == []
    for access in (store.read, store.record, store.delete):
        with pytest.raises(NoSuchFileError):
            access(other, record.id)
    assert store.read("alice", record.id) == b"data"


def test_owners_named_like_paths_stay_inside_the_root(store: FileStore, root: Path) -> None:
    for owner in ("..", ".", "../../x", "a/b", "\0"):
        store.add(owner, b"data", "cat.png")
    inside = list_contents(root)
    assert len(inside) == 5
    assert all(path.parent.parent == root for path in inside)


@pytest.mark.parametrize(
    "file_id",
    [
        *("", ".", "..", "../x", "/etc/passwd", "upload-x", "file-", "file-..", "file-\0"),
        *("file-" + "A" * 32, "file-" + "0" * 31, "file-" + "0" * 33, "file-" * 999),
        "file-" + "0" * 32 + "\n",
    ],
)
def test_only_file_ids_reach_the_disk(store: FileStore, root: Path, file_id: str) -> None:
    store.add("alice", b"data", "cat.png")
    (root.parent / "x").write_text("outside")
    for access in (store.read, store.record, store.delete):
        with pytest.raises(NoSuchFileError):
            access("alice", file_id)


def test_a_deleted_file_is_gone(store: FileStore, root: Path) -> None:
    record = store.add("alice", b"data", "cat.png")
    store.delete("alice", record.id)
    assert list_contents(root) == []
    for access in (store.read, store.record, store.delete):
        with pytest.raises(NoSuchFileError):
            access("alice", record.id)


def test_an_expired_file_is_gone_before_the_sweep(store: FileStore, root: Path) -> None:
    record = store.add("alice", b"data", "cat.png", age=1)
    kept = store.add("alice", b"data", "dog.png")
    pass_time(root, record.id, 1)
    for access in (store.read, store.record, store.delete):
        with pytest.raises(NoSuchFileError):
            access("alice", record.id)
    assert store.records("alice") == [kept]
    assert store.sweep() == 1
    assert [path.name for path in list_contents(root)] == [kept.id]


def pass_time(root: Path, name: str, seconds: float) -> None:
    """Make the file look as if it had been written ``seconds`` earlier."""
    (path,) = root.rglob(name)
    status = path.stat()
    os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))


def test_a_client_may_shorten_the_lifetime_but_not_lengthen_it(store: FileStore) -> None:
    shorter = store.add("", b"data", "a", age=60)
    longer = store.add("", b"data", "a", age=10**9)
    assert shorter.expires_at - shorter.created_at == 60
    assert longer.expires_at - longer.created_at == 3600


def test_an_owner_has_a_quota_of_bytes_and_of_files(store: FileStore) -> None:
    store.add("alice", bytes(60_000), "a")
    with pytest.raises(FileQuotaError, match="100000 bytes"):
        store.add("alice", bytes(60_000), "b")
    store.add("bob", bytes(60_000), "b")
    for _ in range(4):
        store.add("alice", b"small", "c")
    with pytest.raises(FileQuotaError, match="5 files"):
        store.add("alice", b"small", "d")


def test_deleted_and_expired_files_do_not_count_against_the_quota(
    store: FileStore, root: Path
) -> None:
    first = store.add("alice", bytes(60_000), "a")
    store.delete("alice", first.id)
    second = store.add("alice", bytes(60_000), "a")
    pass_time(root, second.id, 3600)
    store.add("alice", bytes(60_000), "a")


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Make writes beyond ``size`` bytes fail, as on a full disk but with another errno."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_partial_file(store: FileStore, root: Path) -> None:
    with limit_file_size(4096), pytest.raises(StorageFullError, match="full"):
        store.add("alice", bytes(50_000), "a")
    assert list_contents(root) == []
    assert store.records("alice") == []
    store.add("alice", bytes(50_000), "a")


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, StorageFullError), (errno.EDQUOT, StorageFullError), (errno.EIO, StorageError)],
)
def test_the_text_of_a_disk_error_does_not_reach_the_client(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number), str(root))

    monkeypatch.setattr("service.files.store.os.fsync", fail)
    with pytest.raises(StorageError) as caught:
        store.add("alice", b"data", "a")
    assert type(caught.value) is expected
    assert str(root) not in str(caught.value)
    assert list_contents(root) == []


def test_a_folder_that_cannot_be_created_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(StorageError):
        FileStore(tmp_path / "files", LIMITS).add("alice", b"data", "a")


def test_unfinished_uploads_are_removed_after_a_crash(store: FileStore, root: Path) -> None:
    kept = store.add("alice", b"data", "a")
    (folder,) = (path for path in root.iterdir())
    options: dict[str, Any] = {"dir": folder, "prefix": UNFINISHED, "delete": False}
    with NamedTemporaryFile(**options) as old, NamedTemporaryFile(**options) as new:
        pass
    pass_time(root, Path(old.name).name, 4000)
    assert store.sweep() == 1
    assert {path.name for path in list_contents(root)} == {kept.id, Path(new.name).name}
    assert store.records("alice") == [kept]


def test_files_of_others_are_never_removed(store: FileStore, root: Path) -> None:
    expired = store.add("alice", b"data", "a")
    (folder,) = root.iterdir()
    foreign = [
        root / "models" / "weights.safetensors",
        root / "models" / expired.id,
        root / "models" / "upload-abcdefgh",
        root / "lost+found" / "folder" / "file",
        folder / "notes.txt",
        folder / "upload-by-hand",
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
        os.utime(path, (0, 0))
    os.utime(folder / expired.id, (0, 0))
    store.add("bob", b"data", "b")
    assert [path for path in foreign if not path.exists()] == []
    assert not (folder / expired.id).exists()


def test_an_owner_can_upload_while_the_folder_of_another_cannot_be_swept(
    store: FileStore, root: Path
) -> None:
    blocked = store.add("alice", b"data", "a")
    (folder,) = root.iterdir()
    (folder / blocked.id).unlink()
    (folder / blocked.id / "in the way").mkdir(parents=True)
    os.utime(folder / blocked.id, (0, 0))
    record = store.add("bob", b"data", "b")
    assert store.read("bob", record.id) == b"data"


def test_a_damaged_file_counts_as_missing(store: FileStore, root: Path) -> None:
    record = store.add("alice", b"data", "a")
    (path,) = root.rglob(record.id)
    path.write_bytes(b"{not json\ndata")
    os.utime(path, (record.expires_at, record.expires_at))
    assert store.records("alice") == []
    with pytest.raises(NoSuchFileError):
        store.record("alice", record.id)


def test_only_the_services_user_can_read_the_files(store: FileStore, root: Path) -> None:
    store.add("alice", b"data", "a")
    (path,) = list_contents(root)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (None, "image"),
        ("", "image"),
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\cat.png", "cat.png"),
        ("a\r\nSet-Cookie: x\0", "aSet-Cookie: x"),
        ("x" * 999, "x" * 255),
    ],
)
def test_a_clients_file_name_is_made_safe(name: str | None, shown: str) -> None:
    assert shown_filename(name) == shown


def test_several_processes_share_the_quota(tmp_path: Path) -> None:
    limits = StoreLimits(owner_bytes=10_000, owner_files=5, max_age=60)
    stores = [FileStore(tmp_path, limits, shared=True) for _ in range(2)]
    barrier = threading.Barrier(2)

    def add(store: FileStore) -> int:
        barrier.wait(10)
        added = 0
        with suppress(FileQuotaError):
            while True:
                store.add("me", b"x" * 10, "a.png")
                added += 1
        return added

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(add, stores)) == 5
    assert len(stores[0].records("me")) == 5
