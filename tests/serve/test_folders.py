"""Folders that cannot be written are named with their setting."""

import os
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.serve.builtin_models import resolve_model
from service.serve.folders import is_writable, make_cache, warn_about_uploads
from service.settings import load_settings


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that nobody can write to, root included."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != folder and allowed(path, mode)
    )
    return folder


def test_a_cache_that_cannot_be_written_is_named(read_only: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for cache in (read_only, file / "below"):
        with pytest.raises(SettingsError, match=r"cache_dir.*--cache-dir"):
            make_cache(cache)
        with pytest.raises(SettingsError, match="cache_dir"):
            resolve_model("tiny", cache)


def test_a_folder_that_does_not_exist_yet_can_be_written(tmp_path: Path) -> None:
    assert is_writable(tmp_path / "a" / "b")
    make_cache(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_uploads_that_will_fail_are_announced(read_only: Path, tmp_path: Path) -> None:
    below_cache = load_settings(cache_dir=read_only)
    assert "setting cache_dir" in str(warn_about_uploads(below_cache))
    elsewhere = load_settings(cache_dir=tmp_path, files_dir=read_only)
    assert "setting files_dir" in str(warn_about_uploads(elsewhere))
    assert warn_about_uploads(load_settings(cache_dir=tmp_path)) is None
    assert warn_about_uploads(load_settings(cache_dir=read_only, files_mb=0)) is None
