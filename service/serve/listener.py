"""The listening sockets, bound before anything is loaded."""

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


def share(listener: socket.socket, processes: int) -> list[socket.socket]:
    """Exchange a bound socket for one for each process; the kernel divides connections among them.

    The address was bound alone before, because a socket that shares its port does not notice another service that
    shares it as well.

    Raises:
        ServiceError: another program has taken the port in between.
    """
    if processes <= 1:
        return [listener]
    address, family = listener.getsockname(), listener.family
    listener.close()
    listeners = []
    for _ in range(processes):
        sharing = socket.socket(family, socket.SOCK_STREAM)
        sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            sharing.bind(address)
        except OSError as error:
            raise ServiceError(f"Cannot listen on port {address[1]}: {error.strerror}.") from None
        listeners.append(sharing)
    return listeners


def _raise_file_limit() -> None:
    """Every connection is an open file; allow as many as the system does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
