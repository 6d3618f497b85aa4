"""The folder of a supervisor outlives it only until the next start."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.serve.scratch import LOCK, make_scratch


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def run_another(temporary: Path) -> tuple[Path, Callable[[], None]]:
    """Start another supervisor; returns its folder, and a function that kills it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_make_and_wait, args=(theirs, temporary)
    )
    process.start()
    folder = Path(ours.recv())

    def kill() -> None:
        process.kill()
        process.join()

    return folder, kill


def _make_and_wait(connection: Connection, temporary: Path) -> None:
    tempfile.tempdir = str(temporary)
    connection.send(str(make_scratch()))
    connection.poll(None)


def test_the_folder_of_a_killed_supervisor_is_removed_at_the_next_start(temporary: Path) -> None:
    folder, kill = run_another(temporary)
    (folder / "metrics").mkdir()
    (folder / "metrics" / "counter.db").write_bytes(b"1")
    try:
        own = make_scratch()
        assert folder.exists(), "it still runs"
    finally:
        kill()
    assert own.stat().st_mode & 0o777 == 0o700
    make_scratch()
    assert not folder.exists()
    assert own.exists()


def test_folders_that_are_not_a_supervisors_stay(temporary: Path) -> None:
    other = temporary / "minigpt4-photos"
    other.mkdir()
    linked = temporary / "elsewhere"
    linked.mkdir()
    (linked / LOCK).touch()
    (temporary / "minigpt4-link").symlink_to(linked)
    make_scratch()
    assert other.exists()
    assert (linked / LOCK).exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_folders_of_other_users_stay(temporary: Path) -> None:
    other = temporary / "minigpt4-other"
    other.mkdir()
    (other / LOCK).touch()
    os.chown(other, 10001, 10001)
    make_scratch()
    assert other.exists()


def test_a_service_without_a_place_for_temporary_files_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(SettingsError, match="TMPDIR"):
        make_scratch()
