"""Read a running server from outside: processor time by the role of its processes, and metrics."""

from collections.abc import Iterator
from contextlib import suppress

import httpx
import psutil

ROLES = (
    ("engine", "EngineCore"),
    ("engine", "VLLM::Worker"),
    ("encoder", "minigpt4-vision"),
    ("API", "minigpt4-api"),
    ("API", "APIServer"),
)
"""Roles, and a part of the process's title. The first match decides. vLLM names its own."""

ENCODER_METRICS = tuple(
    f"minigpt4_encoder_{name}"
    for name in ("encode_seconds_sum", "batch_size_sum", "batch_size_count")
)


def cpu_by_role(pid: int) -> dict[str, float]:
    """Return the processor seconds of a server's processes so far, by role."""
    seconds: dict[str, float] = {}
    for role, process in _processes(pid):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            times = process.cpu_times()
            seconds[role] = seconds.get(role, 0.0) + times.user + times.system
    return seconds


def count_api_processes(pid: int) -> int:
    """Return the number of processes that answer HTTP requests."""
    return sum(role == "API" for role, _ in _processes(pid))


def read_metrics(url: str, names: tuple[str, ...]) -> dict[str, float]:
    """Return the sums of Prometheus series by name."""
    sums = dict.fromkeys(names, 0.0)
    for line in httpx.get(f"{url}/metrics").text.splitlines():
        name = line.partition(" ")[0].partition("{")[0]
        if name in sums:
            sums[name] += float(line.rpartition(" ")[2])
    return sums


def _processes(pid: int) -> Iterator[tuple[str, psutil.Process]]:
    root = psutil.Process(pid)
    below = [
        (_role(process), process)
        for process in root.children(recursive=True)
        if process.is_running()
    ]
    yield ("supervisor" if any(role == "API" for role, _ in below) else "API"), root
    yield from below


def _role(process: psutil.Process) -> str:
    try:
        title = " ".join([process.name(), *process.cmdline()])
    except psutil.NoSuchProcess:
        return "other"
    return next((role for role, part in ROLES if part in title), "other")
