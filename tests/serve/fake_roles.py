"""Processes that say what the real ones say, and do nothing else."""

import json
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from service.serve.control import DRAIN, FAIL, SERVE, STOP, ignore_signals


def run_encoder(connection: Connection, folder: Path, settings: Any, address: str) -> None:
    """Become ready, or fail as the folder's name says; end when the pipe closes."""
    ignore_signals()
    if folder.name == "bad-encoder":
        _tell(connection, failed="the weights are gone")
        sys.exit(1)
    _write_pid(folder, "encoder")
    _tell(connection, ready=True)
    connection.poll(None)


def run_api(
    connection: Connection, folder: Path, settings: Any, arguments: Any, listener: Any, links: Any
) -> None:
    """Load, serve, drain and stop as the supervisor says; write each word into a file."""
    ignore_signals()
    words = folder / f"api-{links.index}.words"
    _write_pid(folder, f"api-{links.index}")
    for name in ("encoder", "engine"):
        _wait_for(folder, name)
    if folder.name == "slow-api":
        _wait_for(folder, "never")
    _tell(connection, loaded=f"capacity {links.index} of {links.processes}")
    while True:
        try:
            word = connection.recv_bytes()
        except EOFError:
            os._exit(1)
        with words.open("a") as file:
            file.write(word.decode() + "\n")
        if word == SERVE:
            links.reservations.add(1)
        if word == DRAIN:
            # The other process may hear of its start a moment later.
            while links.reservations.total != links.processes:
                time.sleep(0.01)
            _tell(connection, draining=3 + links.index)
            time.sleep(0.1 * links.index)
            _tell(connection, drained=links.index)
        if word in (STOP, FAIL):
            sys.exit(0 if word == STOP else 1)


def run_engine(folder: Path) -> None:
    """Do nothing for ten minutes; end in order on a signal, as vLLM's engine without requests."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _write_pid(folder, "engine")
    time.sleep(600)


def _wait_for(folder: Path, name: str) -> None:
    """Wait until the process ``name`` handles signals."""
    while not (folder / f"{name}.pid").exists():
        time.sleep(0.01)


def _write_pid(folder: Path, name: str) -> None:
    draft = folder / f"{name}.draft"
    draft.write_text(str(os.getpid()))
    draft.rename(folder / f"{name}.pid")


def _tell(connection: Connection, **facts: Any) -> None:
    connection.send_bytes(json.dumps(facts).encode())
