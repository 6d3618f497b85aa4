"""The listening socket, bound before anything is loaded."""

import resource
import socket

from service.errors import ServiceError


def bind(host: str, port: int) -> socket.socket:
    """Bind an address. It refuses connections until the server listens.

    Raises:
        ServiceError: the address cannot be used, or another program uses the port.
    """
    _raise_file_limit()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServiceError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    return listener


def _raise_file_limit() -> None:
    """Every connection is an open file; allow as many as the system does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
