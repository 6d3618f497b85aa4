"""Finished lines survive a kill at any moment, each of them once."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from service.batches import journal as journal_module
from service.batches.journal import COMPLETED, FAILED, export
from service.batches.result import LineResponse, from_error, from_response
from tests.batches.conftest import OpenJournal

BODY = b'{"usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}}'


def good(custom_id: str) -> Any:
    return from_response(custom_id, LineResponse(200, "r", BODY))


async def test_results_are_read_again(open_journal: OpenJournal, tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    await journal.add(good("a"))
    await journal.add(from_error("b", "batch_expired", "Too late."))
    again = open_journal(tmp_path)
    assert again.done == {"a", "b"} == journal.done
    assert again.counts == journal.counts
    assert (again.counts.completed, again.counts.failed) == (1, 1)
    assert again.usage == journal.usage
    assert (again.usage.total_tokens, again.usage.input_tokens_details.cached_tokens) == (5, 1)
    assert again.size == journal.size


async def test_a_cut_off_line_is_dropped_at_every_length(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    journal = open_journal(tmp_path)
    await journal.add(good("a"))
    await journal.add(good("b"))
    whole = (tmp_path / "results").read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(len(whole) + 1):
        (tmp_path / "results").write_bytes(whole[:length])
        expected = {"a", "b"} if length == len(whole) else {"a"} if length >= first else set()
        again = open_journal(tmp_path)
        assert again.done == expected
        again.close()
    (tmp_path / "results").write_bytes(whole[:-3])
    again = open_journal(tmp_path)
    await again.add(good("b"))
    assert (tmp_path / "results").read_bytes().count(b"\n") == 2


async def test_concurrent_results_share_writes(
    open_journal: OpenJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    journal = open_journal(tmp_path)
    await asyncio.gather(*(journal.add(good(str(i))) for i in range(50)))
    assert len(journal.done) == 50 == journal.counts.completed
    assert len(synced) < 50


async def test_a_full_disk_loses_and_repeats_nothing(
    open_journal: OpenJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([True, True])

    def fsync(_: int) -> None:
        if next(failures, False):
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(journal_module, "RETRY_SECONDS", 0.01)
    journal = open_journal(tmp_path)
    await asyncio.gather(journal.add(good("a")), journal.add(good("b")))
    assert sorted(open_journal(tmp_path).done) == ["a", "b"]
    assert (tmp_path / "results").read_bytes().count(b"\n") == 2


async def test_lines_that_were_running_when_a_process_was_killed(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    journal = open_journal(tmp_path)
    for custom_id in ("finished", "put back", "killed"):
        journal.note_start(custom_id)
    await journal.add(good("finished"))
    journal.note_release("put back")
    again = open_journal(tmp_path)
    assert dict(again.interrupted) == {"killed": 1}
    again.note_start("killed")
    assert dict(open_journal(tmp_path).interrupted) == {"killed": 2}


async def test_results_are_exported_by_kind(open_journal: OpenJournal, tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    await journal.add(good("a"), from_error("b", "code", "message"), good("c"))
    size = export(tmp_path, COMPLETED, tmp_path / "output")
    output = (tmp_path / "output").read_bytes()
    assert size == len(output)
    assert [b'"a"' in output, b'"b"' in output, b'"c"' in output] == [True, False, True]
    export(tmp_path, FAILED, tmp_path / "errors")
    assert (tmp_path / "errors").read_bytes().count(b"\n") == 1
