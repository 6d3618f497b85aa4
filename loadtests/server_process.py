"""Starts a server as its own process, waits until it answers, and ends it with every process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

START_SECONDS = 900
"""26 GB of weights are read, kernels compiled and graphs captured. A server that ends is noticed at once."""

LOG_LINES = 20
"""Lines of its log that the message about a failed start shows."""


def free_port() -> int:
    """A port on which no server listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def run_server(
    module: Sequence[str],
    ready_url: str,
    log: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Run ``python -m`` with the words of ``module`` until the block ends; gives its process id.

    Args:
        module: The module and its arguments.
        ready_url: Answers 200 once requests are served.
        log: Where the output goes.
        folder: Working folder of the process.
        environment: Instead of this process's.

    Raises:
        RuntimeError: it ends or does not answer in time; the message has the end of its log.
    """
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            # A group, so that its processes can be ended with it. Not a session: Linux schedules sessions
            # apart (autogroups), and a client would wait for as long as an engine's processes spin.
            process_group=0,
        )
    try:
        _wait_until_ready(process, ready_url, log)
        yield process.pid
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """An engine process that stayed would keep the GPU's memory."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(60)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(
                f"{process.args!r} ended with status {process.returncode}; {log} ends:\n{_end(log)}"
            )
        with suppress(httpx.TransportError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer within {START_SECONDS} s; {log} ends:\n{_end(log)}")


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
