"""The listening socket, bound before the minutes of loading rather than after."""

import argparse
import resource
import socket

from service.errors import ServiceError


def bind(arguments: argparse.Namespace) -> socket.socket:
    """Bind ``--host`` and ``--port``; raises :class:`ServiceError` where that is not possible."""
    from vllm.entrypoints.launchers.launcher import create_server_socket

    _raise_file_limit()
    try:
        return create_server_socket((arguments.host or "", arguments.port), reuse_port=False)
    except OSError as error:
        raise ServiceError(
            f"Cannot listen on {arguments.host}:{arguments.port}: {error.strerror}."
        ) from None


def _raise_file_limit() -> None:
    """Every connection is an open file; allow as many as the system does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
