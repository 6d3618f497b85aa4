"""Batches on disk: whose they are, how many there may be, how long they are kept."""

import os
from pathlib import Path

import pytest

from service.batches.ownership import Ownership
from service.batches.store import BatchOrder, BatchStore
from service.errors import BatchQuotaError, NoSuchFileError, NotFoundError, RequestError
from tests.batches.conftest import CHAT, Create


def test_an_owner_sees_only_their_own_batches(store: BatchStore, create: Create) -> None:
    batch = create(owner="alice")
    assert store.get("alice", batch.id) == batch
    assert store.list("bob") == []
    for owner in ("bob", ""):
        with pytest.raises(NotFoundError):
            store.get(owner, batch.id)
        with pytest.raises(NotFoundError):
            store.cancel(owner, batch.id)


def test_ids_that_are_not_ids_never_reach_the_disk(store: BatchStore) -> None:
    for given in ("..", "batch_../x", "batch_" + "A" * 32, ""):
        with pytest.raises(NotFoundError):
            store.get("alice", given)


def test_the_input_must_be_an_own_file_with_the_purpose(store: BatchStore) -> None:
    image = store.files.add("alice", b"x", "image.png")
    with pytest.raises(RequestError):
        store.create("alice", BatchOrder(CHAT, image.id, "1h", 3600))
    own = store.files.add("alice", b"x", "in.jsonl", purpose="batch")
    with pytest.raises(NoSuchFileError):
        store.create("bob", BatchOrder(CHAT, own.id, "1h", 3600))


def test_the_input_may_be_deleted_afterwards(store: BatchStore, create: Create) -> None:
    batch = create(2)
    store.files.delete("alice", batch.input_file_id)
    folder = store.folder_of(store.load("alice", batch.id))
    assert (folder / "input").read_bytes().count(b"\n") == 2


def test_unfinished_batches_are_bounded(store: BatchStore, create: Create) -> None:
    for _ in range(3):
        create()
    with pytest.raises(BatchQuotaError, match="3 unfinished"):
        create()
    create(owner="bob")


def test_a_finished_batch_cannot_be_cancelled(store: BatchStore, create: Create) -> None:
    stored = store.load("alice", create().id)
    stored.batch.status = "completed"
    store.save(stored)
    with pytest.raises(RequestError, match="completed"):
        store.cancel("alice", stored.batch.id)


def test_old_records_and_leftovers_are_removed(store: BatchStore, create: Create) -> None:
    kept, old = create(), store.load("alice", create().id)
    old.batch.status = "completed"
    store.save(old)
    record = store.folder_of(old) / "batch.json"
    os.utime(record, (0, 0))
    leftover = store.folder_of(old).parent / "new-abc"
    leftover.mkdir()
    os.utime(leftover, (0, 0))
    store.sweep()
    assert [batch.id for batch in store.list("alice")] == [kept.id]
    assert not leftover.exists()


def test_a_damaged_record_is_as_if_it_were_absent(store: BatchStore, create: Create) -> None:
    batch = create()
    (store.folder_of(store.load("alice", batch.id)) / "batch.json").write_bytes(b"{")
    assert store.list("alice") == []
    assert list(store.list_unfinished()) == []


def test_one_process_holds_the_lock(tmp_path: Path) -> None:
    first, second = Ownership(tmp_path), Ownership(tmp_path)
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()
