"""What runs in the processes that the supervisor spawns: the encoder, and the API processes.

They ignore signals: a terminal or a service manager sends one to the whole group, but only the supervisor decides
when a process ends. It tells them over a pipe, and when the pipe closes because the supervisor has ended, so do
they.
"""

import argparse
import ctypes
import json
import socket
import sys
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.errors import ServiceError
from service.observability.logs import configure_logs
from service.serve.control import ignore_signals
from service.settings import Settings

if TYPE_CHECKING:
    from service.serve.links import Links

SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter's lock while another thread waits for it. A request passes between
the event loop and the threads that render and tokenize several times; with Python's default it waited 5 ms each
time."""

PR_SET_NAME = 15
"""From ``linux/prctl.h``."""


def run_encoder(
    connection: Connection, folder: Path, settings: Mapping[str, Any], address: str
) -> None:
    """Load the encoder, then serve it at ``address`` until the supervisor closes the pipe."""
    from service.model_folder.layout import ModelFolder
    from service.vision.limits import EncodingLimits
    from service.vision.remote.server import EncoderServer
    from service.vision.shared import make_encoder

    own = _prepare("vision", settings)
    try:
        encoder = make_encoder(ModelFolder.open(folder), own)
        server = EncoderServer(encoder, EncodingLimits.from_settings(own), address)
        server.startup()
    except Exception as error:
        if not isinstance(error, ServiceError):
            traceback.print_exception(error)
        _tell(connection, failed=str(error))
        sys.exit(1)
    _tell(connection, ready=True)
    server.run(connection.fileno())


def run_api(
    connection: Connection,
    folder: Path,
    settings: Mapping[str, Any],
    arguments: argparse.Namespace,
    listener: socket.socket,
    links: "Links",
) -> None:
    """Serve HTTP on ``listener`` with the engine and the encoder that ``links`` lead to."""
    import uvloop

    from service.model_folder.layout import ModelFolder
    from service.serve.control import Pipe
    from service.serve.parts import LinkedParts
    from service.serve.server import Server

    own = _prepare(f"api-{links.index}", settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    opened = ModelFolder.open(folder)
    parts = LinkedParts(opened, own, arguments, links)

    async def serve() -> int:
        return await Server(opened, own, arguments, listener, parts, Pipe(connection)).run()

    try:
        status = uvloop.run(serve())
    except ServiceError as error:
        _tell(connection, failed=str(error))
        status = 1
    sys.exit(status)


def _prepare(title: str, settings: Mapping[str, Any]) -> Settings:
    ignore_signals()
    import torch

    _set_name(f"minigpt4-{title}")
    torch.set_num_threads(1)
    own = Settings(**settings)
    configure_logs(own.log_format)
    return own


def _set_name(name: str) -> None:
    """Set the name that ``top`` and ``ps`` show; Linux keeps 15 characters."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def _tell(connection: Connection, **facts: Any) -> None:
    connection.send_bytes(json.dumps(facts).encode())
