"""Messages to systemd."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.serve.systemd import SOCKET, Notice, notify


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(5)
        yield receiver


def test_messages_arrive_at_the_supervisor(
    supervisor: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify")
    supervisor.bind(address)
    monkeypatch.setenv(SOCKET, address)
    for notice in Notice:
        notify(notice)
        assert supervisor.recv(100).decode() == notice.value


def test_the_address_may_be_abstract(
    supervisor: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.bind(f"\0{tmp_path}")
    monkeypatch.setenv(SOCKET, f"@{tmp_path}")
    notify(Notice.READY)
    assert supervisor.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", [None, "", "relative", "vsock:2:1", "/nobody/listens"])
def test_without_a_supervisor_nothing_happens(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SOCKET, raising=False)
    if address is not None:
        monkeypatch.setenv(SOCKET, address)
    notify(Notice.READY)
