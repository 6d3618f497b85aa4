"""The systems that are compared, each started as its own process and waited for."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from loadtests.blip2 import export
from service.model_folder.layout import ModelFolder

START_SECONDS = 300
EAGER = {"service": (), "vllm": ("--enforce-eager", "--block-size", "32")}
"""What the service chooses on a CPU, given to vLLM's own server as well."""
COMPILED = {"service": ("--no-enforce-eager",), "vllm": ("--block-size", "32")}
"""The same with compiled models, which needs a C++ compiler and a longer start."""


@dataclass(frozen=True)
class Started:
    """A server that answers."""

    url: str
    model: str
    pid: int


def commands(folder: ModelFolder, work: Path, port: int) -> dict[str, list[str]]:
    """The command of each system, by name; exports the BLIP-2 folder on the way."""
    blip2 = work / "blip2"
    if not (blip2 / "config.json").exists():
        export(folder, blip2)
    vllm = "vllm.entrypoints.launchers.api_server.entry"
    where = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "model"]
    return {
        "service": ["service", "serve", "--model", str(folder.root), *where],
        "vllm": [vllm, "--model", str(blip2), *where],
        "original": ["loadtests.original", str(folder.root), str(port)],
    }


@contextmanager
def started(
    name: str, folder: ModelFolder, work: Path, *flags: str, log: Path | None = None
) -> Iterator[Started]:
    """Run a system; ``flags`` are added to its command. Raises RuntimeError if it does not start.

    Without flags of its own (:data:`EAGER`, :data:`COMPILED`) a system runs with its defaults.
    """
    port = free_port()
    command = [sys.executable, "-m", *commands(folder, work, port)[name], *flags]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR", **os.environ}
    with (log or work / f"{name}.log").open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, f"{url}/{'ready' if name == 'service' else 'health'}")
        yield Started(url, "model", process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{url} did not answer within {START_SECONDS} s")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
