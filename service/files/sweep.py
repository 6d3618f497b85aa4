"""Removing what has expired from the folder of uploaded files, and nothing else.

The folder may be one that holds other things, too: a mounted volume's ``lost+found``, a data folder.
"""

import logging
import re
import time
from contextlib import suppress
from pathlib import Path

from service.files.record import FILE_ID

OWNER = re.compile(r"[0-9a-f]{32}")
"""Names of owners' folders. The root may hold other folders, which are never entered."""

UNFINISHED = "upload-"
UPLOAD = re.compile(rf"{UNFINISHED}[a-z0-9_]{{8}}")
"""Names that :mod:`tempfile` makes."""

UNFINISHED_SECONDS = 3600
"""Age at which an upload that was cut off, by a crash say, is removed."""

logger = logging.getLogger("service.files")


def sweep(root: Path) -> int:
    """Remove expired files and uploads that were cut off; returns how many files went."""
    return sum(map(_sweep_folder, _folders(root)))


def _sweep_folder(folder: Path) -> int:
    """One owner's folder that cannot be swept must not stop the uploads of the others."""
    removed = 0
    try:
        for path in _own(folder):
            if is_over(path):
                with suppress(FileNotFoundError):
                    path.unlink()
                    removed += 1
    except OSError as error:
        logger.warning("expired files cannot be removed: %s", error)
    return removed


def is_over(path: Path) -> bool:
    """Whether a file has expired or is not there; its modification time is when it expires."""
    try:
        expires = path.stat().st_mtime
    except FileNotFoundError:
        return True
    if path.name.startswith(UNFINISHED):
        expires += UNFINISHED_SECONDS
    return expires <= time.time()


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [path for path in root.iterdir() if OWNER.fullmatch(path.name) and path.is_dir()]


def _own(folder: Path) -> list[Path]:
    """What the store has written there, finished or not."""
    names = (FILE_ID, UPLOAD)
    return [path for path in folder.iterdir() if any(name.fullmatch(path.name) for name in names)]
