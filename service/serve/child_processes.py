"""End the processes that this one has started, at once and without exception."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TRACKER = b"multiprocessing.resource_tracker"
"""Python's process that removes what ended processes have left in shared memory. It ends by itself."""


def kill_child_processes() -> None:
    """Kill the engine's processes and all that they have started. Linux only.

    An engine that still imports its libraries would notice only after half a minute that its parent has
    ended. Until then it would keep a GPU's memory.
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
