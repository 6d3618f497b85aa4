"""Slow name servers must not block the lookups of other domains."""

import asyncio
import queue
import socket
import threading
from collections.abc import Iterator

import pytest

from service.errors import ImageFetchError
from service.images.dns import CheckedResolver, LookupPool
from service.images.fair_semaphore import FairSemaphore
from service.images.fetch_policy import FetchPolicy
from service.images.sources import read_source

ADDRESS = "93.184.216.34"


class NameServers:
    """Answers names below ``slow.example`` when :attr:`answer` is set, and others at once."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked: queue.Queue[str] = queue.Queue()

    def getaddrinfo(self, host: str, port: int, **_: object) -> list[object]:
        self.asked.put(host)
        if host.endswith(".slow.example"):
            self.answer.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ADDRESS, port))]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServers]:
    servers = NameServers()
    monkeypatch.setattr(socket, "getaddrinfo", servers.getaddrinfo)
    yield servers
    servers.answer.set()


async def test_abandoned_lookups_occupy_only_the_share_of_their_domain(
    servers: NameServers,
) -> None:
    resolver = CheckedResolver(FetchPolicy(), LookupPool(FairSemaphore(3, 2)))
    slow = [
        asyncio.create_task(resolver.resolve(f"{number}.slow.example", 80)) for number in range(3)
    ]
    started = {await asyncio.to_thread(servers.asked.get) for _ in range(2)}
    assert started == {"0.slow.example", "1.slow.example"}
    for task in slow[:2]:
        task.cancel()
    (result,) = await resolver.resolve("images.example.com", 80)
    assert result["host"] == ADDRESS
    assert servers.asked.get_nowait() == "images.example.com"
    assert servers.asked.empty(), "a cancelled wait must not free the slot of its lookup"
    servers.answer.set()
    assert (await slow[2])[0]["host"] == ADDRESS


async def test_a_fetch_times_out_while_its_name_is_being_resolved(servers: NameServers) -> None:
    with pytest.raises(ImageFetchError, match="did not arrive"):
        await read_source("http://a.slow.example/", FetchPolicy(timeout=0.05))


async def test_an_unknown_name_is_a_fetch_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", missing)
    with pytest.raises(ImageFetchError, match="reached"):
        await read_source("http://missing.example/", FetchPolicy())
