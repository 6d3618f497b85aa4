"""Remove expired and unfinished uploads, and nothing else.

The folder may also hold files of others, such as a mounted volume's ``lost+found``.
"""

import logging
import re
import time
from contextlib import suppress
from pathlib import Path

from service.files.record import FILE_ID

OWNER = re.compile(r"[0-9a-f]{32}")
"""Names of owners' folders. Other folders are never entered."""

UNFINISHED = "upload-"
UPLOAD = re.compile(rf"{UNFINISHED}[a-z0-9_]{{8}}")
"""Names that :mod:`tempfile` makes for uploads that are being written."""

UNFINISHED_SECONDS = 3600
"""Age at which an unfinished upload is removed; a crash can leave one behind."""

logger = logging.getLogger("service.files")


def sweep(root: Path) -> int:
    """Remove expired and old unfinished uploads; return how many. Blocks: call it on a thread."""
    return sum(map(_sweep_folder, _list_owner_folders(root)))


def has_expired(path: Path) -> bool:
    """Return whether a file has expired or does not exist.

    The modification time of a file is the time at which it expires.
    """
    try:
        expires = path.stat().st_mtime
    except FileNotFoundError:
        return True
    if path.name.startswith(UNFINISHED):
        expires += UNFINISHED_SECONDS
    return expires <= time.time()


def _sweep_folder(folder: Path) -> int:
    """Sweep one owner's folder. A failure is only logged, so that other owners can still upload."""
    removed = 0
    try:
        for path in _list_uploads(folder):
            if has_expired(path):
                with suppress(FileNotFoundError):
                    path.unlink()
                    removed += 1
    except OSError as error:
        logger.warning("expired files cannot be removed: %s", error)
    return removed


def _list_owner_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [path for path in root.iterdir() if OWNER.fullmatch(path.name) and path.is_dir()]


def _list_uploads(folder: Path) -> list[Path]:
    """List the files that the store wrote, finished or not."""
    names = (FILE_ID, UPLOAD)
    return [path for path in folder.iterdir() if any(name.fullmatch(path.name) for name in names)]
