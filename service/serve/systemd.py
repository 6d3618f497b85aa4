"""Messages to systemd (``sd_notify(3)``): the service is ready, alive, or about to end."""

import os
import socket
from contextlib import suppress
from enum import StrEnum

SOCKET = "NOTIFY_SOCKET"
"""systemd sets it for units of ``Type=notify``; without it nothing is sent."""


class Notice(StrEnum):
    """What systemd acts on."""

    READY = "READY=1"
    ALIVE = "WATCHDOG=1"
    STOPPING = "STOPPING=1"


def notify(notice: Notice) -> None:
    """Send a message without waiting.

    A supervisor that does not listen must not end the service.
    """
    address = os.environ.get(SOCKET, "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract namespace
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(notice.value.encode(), address)
