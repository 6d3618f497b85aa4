"""A store of batches with one uploaded file."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Literal

import pytest

from service.batches.journal import Journal
from service.batches.limits import BatchLimits
from service.batches.record import Batch
from service.batches.store import BatchOrder, BatchStore
from service.files.store import FileStore, StoreLimits

CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"

Create = Callable[..., Batch]
OpenJournal = Callable[[Path], Journal]


def line(custom_id: Any, **changes: Any) -> dict[str, Any]:
    """A line of an input file."""
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {"n": 1}, **changes}


def json_lines(*lines: Any) -> bytes:
    """The lines as a file's content."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture
def limits() -> BatchLimits:
    """Small limits; tests replace the fixture."""
    return BatchLimits(lines=100, open_batches=3, output_bytes=1 << 20)


@pytest.fixture
def store(tmp_path: Path, limits: BatchLimits) -> BatchStore:
    files = FileStore(tmp_path, StoreLimits(owner_bytes=1 << 20, owner_files=100, max_age=3600))
    return BatchStore(tmp_path / "batches", files, limits)


@pytest.fixture
def create(store: BatchStore) -> Create:
    """Creates a batch of lines with ids "0", "1", … or of the given content."""

    def create(
        lines: int | bytes = 3, owner: str = "alice", window_seconds: int = 3600, **order: Any
    ) -> Batch:
        content = (
            lines if isinstance(lines, bytes) else json_lines(*map(line, map(str, range(lines))))
        )
        file = store.files.add(owner, content, "in.jsonl", purpose="batch")
        return store.create(owner, BatchOrder(CHAT, file.id, "1h", window_seconds, **order))

    return create


@pytest.fixture
def open_journal() -> Iterator[OpenJournal]:
    """Opens journals, and closes them after the test."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(closing(Journal(folder)))
