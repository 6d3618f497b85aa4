"""The lock of the one process that runs the batches of a store.

Several API processes, and replicas that share the store, may serve the routes. The kernel releases
the lock when its holder ends for any reason; another process then takes over.
"""

import fcntl
import os
from pathlib import Path

LOCK = "runner.lock"


class Ownership:
    """The lock of a store; not reentrant."""

    def __init__(self, root: Path) -> None:
        self._path = root / LOCK
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Try to take the lock; return whether this process has it. Blocks only for the disk."""
        if self._handle is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Release the lock. Idempotent."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
