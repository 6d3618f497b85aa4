"""Kill the child processes of this process."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TRACKER = b"multiprocessing.resource_tracker"
"""Python's process that cleans up shared memory after other processes. It ends without a signal."""


def kill_child_processes() -> None:
    """Kill the engine's processes and all that they have started. Linux only.

    While an engine imports its libraries, it does not notice that its parent has ended. It would
    stay for up to half a minute and keep a GPU's memory.
    """
    for child in multiprocessing.active_children():
        descendants = list(_list_descendants(child.pid)) if child.pid else []
        child.kill()
        for pid in descendants:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _list_descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):  # the process or one of its threads has just ended
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, file.read_text().split()):
                yield from _list_descendants(child)
                if TRACKER not in Path(f"/proc/{child}/cmdline").read_bytes():
                    yield child
