"""Start a server as its own process, wait until it answers, and end all its processes."""

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
"""Time to read 26 GB of weights, compile kernels and capture graphs. If the server exits, the wait
ends at once."""

STOP_SECONDS = 60

LOG_LINES = 20
"""Log lines in the message about a failed start."""


def free_port() -> int:
    """Return a port on which no server listens."""
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
    start_seconds: float = START_SECONDS,
    stop_seconds: float = STOP_SECONDS,
) -> Iterator[int]:
    """Run ``python -m`` with the words of ``module`` until the block ends; gives its process id.

    Args:
        module: The module and its arguments.
        ready_url: A URL that answers 200 when the server is ready.
        log: Where the output goes.
        folder: Working folder of the process.
        environment: The process's environment; by default that of this process.
        start_seconds: A server that is not ready by then is killed.
        stop_seconds: A server that has not ended by then is killed.

    Raises:
        RuntimeError: the server exits or does not answer in time. The message has the end of its
            log.
    """
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            # A process group, so that all its processes can be ended together. Not a session: Linux
            # gives each session its own share of the CPU (autogroups), which would slow down the
            # client.
            process_group=0,
        )
    try:
        _wait_until_ready(process, ready_url, log, start_seconds)
        yield process.pid
    finally:
        _stop(process, stop_seconds)


def _stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Stop the server and its engine, which would otherwise keep the GPU's memory."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_until_ready(
    process: subprocess.Popen[bytes], url: str, log: Path, seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    # One client for all attempts: each new one reads the certificates, which takes 40 ms.
    with httpx.Client() as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(
                    f"{process.args!r} ended with status {process.returncode}; {log} ends:\n{_end(log)}"
                )
            with suppress(httpx.TransportError):
                if client.get(url).status_code == 200:
                    return
            time.sleep(0.1)
    raise RuntimeError(f"{url} was not ready after {seconds:.0f} s; {log} ends:\n{_end(log)}")


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
