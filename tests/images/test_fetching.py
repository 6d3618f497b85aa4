"""Fetching from a server that the test runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from service.errors import FetchingOverloadedError, ImageFetchError
from service.images.fair_semaphore import FairSemaphore
from service.images.fetch_policy import FetchPolicy
from service.images.fetching import fetch_image

POLICY = FetchPolicy(timeout=30, allow_private_addresses=True)
IMPATIENT = FetchPolicy(timeout=0.05, allow_private_addresses=True)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nimage"


class Server:
    """Answers when ``together`` requests wait; ``most`` counts the most that waited at once."""

    def __init__(self, together: int) -> None:
        self._together = together
        self._present = asyncio.Condition()
        self._serving: set[asyncio.Task[Any]] = set()
        self.now = self.most = self.served = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
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
        """Answer the waiting requests."""
        async with self._present:
            self._together = 0
            self._present.notify_all()
        await asyncio.gather(*self._serving)


@asynccontextmanager
async def run(server: Server) -> AsyncIterator[str]:
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listener:
        host, port = listener.sockets[0].getsockname()
        yield f"http://{host}:{port}/image.png"
        await server.stop_waiting()


async def test_no_more_fetches_run_than_there_are_slots() -> None:
    server, slots = Server(together=2), FairSemaphore(2, 2)
    async with run(server) as url:
        bodies = await asyncio.gather(*(fetch_image(url, POLICY, slots) for _ in range(6)))
    assert bodies == [b"image"] * 6
    assert server.most == 2


async def test_a_timeout_before_a_slot_is_free_is_an_overload_not_a_fetch_error() -> None:
    slots = FairSemaphore(1, 1)
    async with run(Server(together=1)) as url:
        async with slots.hold(""):
            with pytest.raises(FetchingOverloadedError):
                await fetch_image(url, IMPATIENT, slots)
        assert await fetch_image(url, POLICY, slots) == b"image"


async def test_a_fetch_that_times_out_releases_its_slot() -> None:
    slots = FairSemaphore(1, 1)
    async with run(Server(together=2)) as url:
        with pytest.raises(ImageFetchError, match="did not arrive"):
            await fetch_image(url, IMPATIENT, slots)
    async with run(Server(together=1)) as url:
        assert await fetch_image(url, POLICY, slots) == b"image"


class Sequence:
    """Answers requests with the given responses in order; an empty one disconnects."""

    def __init__(self, *responses: bytes) -> None:
        self._responses = list(responses)
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._responses.pop(0))
        writer.close()


def status(code: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % code


async def fetch_from(server: Sequence, policy: FetchPolicy = POLICY) -> bytes:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        return await fetch_image(f"http://127.0.0.1:{port}/", policy)


@pytest.mark.parametrize("failure", [b"", status(502), status(503), status(504)], ids=str)
async def test_a_failure_that_passes_is_tried_once_more(failure: bytes) -> None:
    server = Sequence(failure, ANSWER)
    assert await fetch_from(server) == b"image"
    again = Sequence(failure, failure, ANSWER)
    with pytest.raises(ImageFetchError):
        await fetch_from(again)
    assert len(again.requests) == 2


@pytest.mark.parametrize("code", [400, 403, 404, 500])
async def test_other_failures_are_final(code: int) -> None:
    server = Sequence(status(code), ANSWER)
    with pytest.raises(ImageFetchError):
        await fetch_from(server)
    assert len(server.requests) == 1


async def test_the_user_agent_names_the_service() -> None:
    server = Sequence(ANSWER, ANSWER)
    await fetch_from(server)
    await fetch_from(server, replace(POLICY, user_agent="mine/1"))
    assert b"User-Agent: minigpt4-service/" in server.requests[0]
    assert b"User-Agent: mine/1" in server.requests[1]
