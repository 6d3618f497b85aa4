"""Check at the start that the service can write to its folders; name the setting otherwise."""

import os
from pathlib import Path

from service.errors import SettingsError
from service.settings import Settings


def warn_about_uploads(settings: Settings) -> str | None:
    """Return a line for the operator if uploads will fail: their folder cannot be written."""
    name = "files_dir" if settings.files_dir else "cache_dir"
    if not settings.files_mb or is_writable(settings.files_root):
        return None
    return (
        f"Uploads will fail: the service cannot write to {settings.files_root} (setting {name}). "
        "--files-dir names another folder, --files-mb 0 turns uploads off."
    )


def make_cache(folder: Path) -> None:
    """Make the folder in which the service stores models.

    Raises:
        SettingsError: names the setting and the flag that changes it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = is_writable(folder)
    except OSError:
        writable = False
    if not writable:
        raise SettingsError(
            f"The service cannot write to {folder} (setting cache_dir). "
            "Name a folder that it can write to with --cache-dir."
        )


def is_writable(folder: Path) -> bool:
    """Return whether a folder can be written, or be made where it does not exist yet."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
