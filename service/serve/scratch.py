"""The folder for the sockets, the metrics and the ledger of a supervised service.

A supervisor removes its folder at its end. One that was killed cannot; the next supervisor does it.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from service.errors import SettingsError

PREFIX = "minigpt4-"
LOCK = "lock"
"""File that a supervisor keeps locked for as long as it lives."""


def make_scratch() -> Path:
    """Make the folder of this process, and remove those of supervisors that were killed.

    Raises:
        SettingsError: no folder for temporary files can be written.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        # The file gets its name when it is locked, so that no other process finds it unlocked.
        draft = folder / f"{LOCK}.draft"
        fcntl.flock(os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), fcntl.LOCK_EX)
        draft.rename(folder / LOCK)
    except OSError as error:
        reason = f"The service cannot write temporary files (TMPDIR): {error.strerror}"
        raise SettingsError(reason) from error
    _remove_abandoned(folder.parent)
    return folder


def _remove_abandoned(parent: Path) -> None:
    for lock in parent.glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError):  # another user's, or removed by another process
            if lock.parent.lstat().st_uid == os.getuid() and _is_unlocked(lock):
                shutil.rmtree(lock.parent, ignore_errors=True)


def _is_unlocked(lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
