"""Start the systems that are compared, each as its own process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.blip2 import export
from loadtests.server_process import START_SECONDS, STOP_SECONDS, free_port, run_server
from service.model_folder.layout import INDEX_FILE, ModelFolder

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    # No downloads and no usage reports during a measurement.
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
"""The environment of each system; the caller's own values have precedence."""
EAGER = {"service": (), "vllm": ("--enforce-eager", "--block-size", "32")}
"""The service's defaults on a CPU, also for vLLM's own server."""
COMPILED = {"service": ("--no-enforce-eager",), "vllm": ("--block-size", "32")}
"""The same with compiled models. It needs a C++ compiler, and the start takes longer."""


@dataclass(frozen=True)
class Started:
    """A running server."""

    url: str
    model: str
    pid: int


def command(name: str, folder: ModelFolder, work: Path, port: int) -> list[str]:
    """Return a system's arguments of ``python -m``; export the BLIP-2 folder if needed."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "model"]
    if name == "service":
        return ["service", "serve", "--model", str(folder.root), *where]
    if name == "vllm":
        exported = str(blip2_folder(folder, work))
        return ["loadtests.vllm_server", "--model", exported, *where]
    return ["loadtests.original", str(folder.root), str(port)]


def blip2_folder(folder: ModelFolder, work: Path, weights: bool = True) -> Path:
    """Export the model for vLLM's own server; write it again if the model is newer.

    Without weights, vLLM needs ``--load-format dummy``.
    """
    exported = work / f"blip2-{folder.root.name}"
    whole, source = exported / "config.json", folder.root / INDEX_FILE
    if not whole.exists() or whole.stat().st_mtime < source.stat().st_mtime:
        export(folder, exported, weights)
    return exported


@contextmanager
def started(
    name: str,
    folder: ModelFolder,
    work: Path,
    *flags: str,
    log: Path | None = None,
    start_seconds: float = START_SECONDS,
    stop_seconds: float = STOP_SECONDS,
) -> Iterator[Started]:
    """Run a system; raise RuntimeError if it does not start.

    ``flags`` (:data:`EAGER`, :data:`COMPILED`) are added to its command. Without them,
    the system runs with its defaults.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with run_server(
        [*command(name, folder, work, port), *flags],
        f"{url}/{'ready' if name == 'service' else 'health'}",
        log or work / f"{name}.log",
        environment={**ENVIRONMENT, **os.environ},
        start_seconds=start_seconds,
        stop_seconds=stop_seconds,
    ) as pid:
        yield Started(url, "model", pid)
