"""Measure the CPU seconds and the memory of a server's processes under load."""

import threading
from contextlib import suppress
from types import TracebackType

import psutil


class Usage:
    """A context manager that watches a process and its descendants.

    Attributes:
        cpu_seconds: CPU seconds of all processes.
        peak_bytes: Highest sum of proportional set sizes; shared pages count once.
    """

    INTERVAL = 0.5
    """Seconds between two measurements of the memory."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.cpu_seconds = 0.0
        self.peak_bytes = 0

    def __enter__(self) -> "Usage":
        self._before = self._cpu()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.cpu_seconds = self._cpu() - self._before

    def _processes(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def _cpu(self) -> float:
        seconds = 0.0
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # it has just ended
                times = process.cpu_times()
                seconds += times.user + times.system
        return seconds

    def _memory(self) -> int:
        size = 0
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                size += process.memory_full_info().pss
        return size

    def _watch(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, self._memory())
            if self._stop.wait(self.INTERVAL):
                return
