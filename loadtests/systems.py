"""The systems that are compared, each started as its own process and waited for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.blip2 import export
from loadtests.server_process import free_port, run_server
from service.model_folder.layout import INDEX_FILE, ModelFolder

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
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with run_server(
        [*command(name, folder, work, port), *flags],
        f"{url}/{'ready' if name == 'service' else 'health'}",
        log or work / f"{name}.log",
        environment={**ENVIRONMENT, **os.environ},
    ) as pid:
        yield Started(url, "model", pid)
