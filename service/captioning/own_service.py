"""A service that the command starts for itself, and that ends with it."""

import ctypes
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from service.errors import CaptioningError

START_SECONDS = 900
STOP_SECONDS = 60
LOG_LINES = 20
"""Lines of its output that the message about a failed start shows."""

PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>: the signal that a process gets when its parent ends."""


@contextmanager
def run_service(model: str) -> Iterator[str]:
    """Serve ``model`` on a free port of this machine while the block runs; gives its URL.

    The environment's settings (``MINIGPT4_*``) apply, so that it can be told to use a GPU.

    Raises:
        CaptioningError: it does not start; the message has the end of its output.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "service", "serve", "--model", model, "--port", str(port)]
    with TemporaryDirectory(prefix="caption-") as folder:
        log = Path(folder) / "service.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(  # noqa: S603
                [*command, "--page", "false", "--files-mb", "0"],
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C is for this process, which then stops the service
                preexec_fn=_end_with_parent,
            ) as process,
        ):
            try:
                _wait_until_ready(process, url, log)
                yield url
            finally:
                _stop(process)


def _end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent ends, even if it is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        time.sleep(0.2)
    end = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    raise CaptioningError(f"The service did not start. Its output ends:\n{end}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
