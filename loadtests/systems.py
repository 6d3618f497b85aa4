"""The systems that are compared, each started as its own process and waited for."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from loadtests.blip2 import export
from service.model_folder.layout import INDEX_FILE, ModelFolder

START_SECONDS = 900
"""26 GB of weights are read, kernels compiled and graphs captured; what fails is noticed at once."""
LOG_LINES = 20
"""How much of its log is told of a system that did not start."""
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    # Nothing is to be fetched or told while it is measured.
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Of every system; what the caller has set wins."""
EAGER = {"service": (), "vllm": ("--enforce-eager", "--block-size", "32")}
"""What the service chooses on a CPU, given to vLLM's own server as well."""
COMPILED = {"service": ("--no-enforce-eager",), "vllm": ("--block-size", "32")}
"""The same with compiled models, which needs a C++ compiler and a longer start."""
GPU = {"service": ("--gpu-memory-utilization", "0.85")}
"""Room for our encoder beside the engine, as deploy/ leaves it; vLLM's own is within the engine's share."""


@dataclass(frozen=True)
class Started:
    """A server that answers."""

    url: str
    model: str
    pid: int


def command(name: str, folder: ModelFolder, work: Path, port: int) -> list[str]:
    """The arguments of ``python -m`` for a system; vLLM's BLIP-2 folder is exported on the way."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "model"]
    if name == "service":
        return ["service", "serve", "--model", str(folder.root), *where]
    if name == "vllm":
        exported = str(blip2_folder(folder, work))
        return ["vllm.entrypoints.launchers.api_server.entry", "--model", exported, *where]
    return ["loadtests.original", str(folder.root), str(port)]


def blip2_folder(folder: ModelFolder, work: Path) -> Path:
    """The model as vLLM's own server takes it; written anew where the model is newer."""
    exported = work / f"blip2-{folder.root.name}"
    whole, source = exported / "config.json", folder.root / INDEX_FILE
    if not whole.exists() or whole.stat().st_mtime < source.stat().st_mtime:
        export(folder, exported)
    return exported


@contextmanager
def started(
    name: str, folder: ModelFolder, work: Path, *flags: str, log: Path | None = None
) -> Iterator[Started]:
    """Run a system; ``flags`` are added to its command. Raises RuntimeError if it does not start.

    Without flags of its own (:data:`EAGER`, :data:`COMPILED`, :data:`GPU`) a system runs with its
    defaults.
    """
    port, log = free_port(), log or work / f"{name}.log"
    words = [sys.executable, "-m", *command(name, folder, work, port), *flags]
    with log.open("w") as output:
        process = subprocess.Popen(
            words,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**ENVIRONMENT, **os.environ},
            # So that what it leaves behind can be ended with it. Not a session: Linux schedules sessions
            # apart (autogroups), and then a client waits for as long as an engine's processes spin.
            process_group=0,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(process, f"{url}/{'ready' if name == 'service' else 'health'}", log)
        yield Started(url, "model", process.pid)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a system and every process of it: an engine that stayed would keep the GPU's memory."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(60)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until ``url`` answers 200; raise RuntimeError if the process ends before."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(
                f"{process.args!r} ended with status {process.returncode}; {log} ends:\n{_end(log)}"
            )
        with suppress(httpx.TransportError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"{url} did not answer within {START_SECONDS} s; {log} ends:\n{_end(log)}")


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
