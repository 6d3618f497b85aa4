"""Processes that say what the real ones say, and do nothing else."""

import json
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from service.serve.control import DRAIN, FAIL, SERVE, STOP


def run_encoder(connection: Connection, folder: Path, settings: Any, address: str) -> None:
    """Become ready, or fail as the folder's name says; end when the pipe closes."""
    _ignore_signals()
    if folder.name == "bad-encoder":
        _tell(connection, failed="the weights are gone")
        sys.exit(1)
    _tell(connection, ready=True)
    (folder / "encoder.pid").write_text(str(os.getpid()))
    connection.poll(None)


def run_api(
    connection: Connection, folder: Path, settings: Any, arguments: Any, listener: Any, links: Any
) -> None:
    """Load, serve, drain and stop as the supervisor says; write each word into a file."""
    _ignore_signals()
    words = folder / f"api-{links.index}.words"
    (folder / f"api-{links.index}.pid").write_text(str(os.getpid()))
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


def run_engine() -> None:
    """Do nothing for ten minutes; vLLM's engine finishes its requests when it gets a signal."""
    _ignore_signals()
    time.sleep(600)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _tell(connection: Connection, **facts: Any) -> None:
    connection.send_bytes(json.dumps(facts).encode())
