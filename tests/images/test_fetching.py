"""Fetching from a server of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.errors import FetchingOverloadedError, ImageFetchError
from service.images.fair_semaphore import Places
from service.images.fetch_policy import FetchPolicy
from service.images.fetching import fetch

POLICY = FetchPolicy(timeout=30, allow_private_addresses=True)
IMPATIENT = FetchPolicy(timeout=0.05, allow_private_addresses=True)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nimage"


class Server:
    """Answers once ``together`` requests are there; knows how many there have been at once."""

    def __init__(self, together: int) -> None:
        self._together = together
        self._present = asyncio.Condition()
        self._serving: set[asyncio.Task[object]] = set()
        self.now = self.most = self.served = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        async with self._present:
            self.now += 1
            self.most = max(self.most, self.now)
            self._present.notify_all()
            await self._present.wait_for(lambda: self.now >= self._together or self.served > 0)
            self.now -= 1
            self.served += 1
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    async def stop_waiting(self) -> None:
        """Answer those that are there."""
        async with self._present:
            self._together = 0
            self._present.notify_all()
        await asyncio.gather(*self._serving)


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[str]:
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listening:
        host, port = listening.sockets[0].getsockname()
        yield f"http://{host}:{port}/image.png"
        await server.stop_waiting()


async def test_no_more_images_than_there_are_places_are_on_their_way() -> None:
    server, places = Server(together=2), Places(2, 2)
    async with running(server) as url:
        bodies = await asyncio.gather(*(fetch(url, POLICY, places) for _ in range(6)))
    assert bodies == [b"image"] * 6
    assert server.most == 2


async def test_who_gets_no_place_in_time_hears_of_our_load_not_of_the_images_server() -> None:
    places = Places(1, 1)
    async with running(Server(together=1)) as url:
        async with places.place(""):
            with pytest.raises(FetchingOverloadedError):
                await fetch(url, IMPATIENT, places)
        assert await fetch(url, POLICY, places) == b"image"


async def test_a_server_that_does_not_answer_in_time_gives_its_place_back() -> None:
    places = Places(1, 1)
    async with running(Server(together=2)) as url:
        with pytest.raises(ImageFetchError, match="did not arrive"):
            await fetch(url, IMPATIENT, places)
    async with running(Server(together=1)) as url:
        assert await fetch(url, POLICY, places) == b"image"
