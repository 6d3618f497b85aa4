"""A request without a free slot is refused before any work."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from service.api.backend import Backend, Loaded
from service.api.middleware.admission import Admission

CHAT = "/v1/chat/completions"


class Room:
    """Slots for requests, and the bytes that the application has read."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.bodies: list[bytes] = []

    @contextmanager
    def place(self) -> Iterator[bool]:
        kept = self.places > 0
        self.places -= kept
        try:
            yield kept
        finally:
            self.places += kept

    async def read(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application."""
        self.bodies.append(await Request(scope, receive).body())
        await PlainTextResponse("read")(scope, receive, send)

    def client(self) -> httpx.AsyncClient:
        backend = Backend()
        backend.attach(
            Loaded(self.read, lambda: True, lambda: self.places <= 0, self.place, lambda: 1)
        )
        app = Admission(backend, backend)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")


async def test_with_a_free_slot_the_whole_body_is_passed_on() -> None:
    room = Room(1)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async with room.client() as http:
        assert (await http.post(CHAT, content=chunks())).text == "read"
    assert room.bodies == [b"ab"]
    assert room.places == 1


async def test_without_a_free_slot_nothing_is_read() -> None:
    room = Room(0)

    async def never() -> AsyncIterator[bytes]:
        pytest.fail("the body was asked for")
        yield b""

    async with room.client() as http:
        for path in (CHAT, "/prefix/v1/responses"):
            answer = await http.post(path, content=never())
            assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "ServiceUnavailableError"


async def test_a_slot_taken_while_the_body_arrived_is_noticed_before_parsing() -> None:
    room = Room(1)

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        assert room.places == 1, "a body on its way keeps no place"
        room.places = 0
        yield b"b"

    async with room.client() as http:
        assert (await http.post(CHAT, content=slow())).status_code == 503
    assert room.bodies == []


async def test_requests_that_do_not_generate_are_passed_on() -> None:
    room = Room(0)
    async with room.client() as http:
        for answer in (
            await http.get(CHAT),
            await http.post("/v1/messages/count_tokens"),
            await http.post("/tokenize"),
        ):
            assert answer.text == "read"
