"""The memory that all bodies take together."""

import asyncio
from collections.abc import AsyncIterator

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from service.api.middleware.body_limit import BodyLimit
from service.api.middleware.strict_json import StrictJson


class Service:
    """An application that answers on a signal; the budget is 10 bytes."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.read: list[bytes] = []
        self.gone = 0
        self.arrived = asyncio.Event()
        self.budget = BodyLimit(self.serve, 100, 10)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.read.append(await Request(scope, receive).body())
        except ClientDisconnect:
            self.gone += 1
            return
        self.arrived.set()
        await self.answer.wait()
        await PlainTextResponse("answered")(scope, receive, send)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.budget), base_url="http://x")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """A body whose length is not declared."""
    for part in parts:
        yield part


async def test_bodies_count_until_their_requests_are_answered() -> None:
    service = Service()
    async with service.client() as http:
        first = asyncio.create_task(http.post("/", content=b"1234567"))
        await service.arrived.wait()
        assert service.budget.held_bytes == 7
        refused = await http.post("/", content=b"1234")
        service.answer.set()
        assert (await http.post("/", content=b"123")).text == "answered"
        assert (await first).text == "answered"
        assert service.budget.held_bytes == 0
        assert (await http.post("/", content=b"1234567890")).text == "answered"
    assert refused.status_code == 503
    assert refused.json()["error"]["type"] == "ServiceUnavailableError"


async def test_a_declared_length_is_refused_before_the_body_is_read() -> None:
    service = Service()

    async def never() -> AsyncIterator[bytes]:
        yield b"1"
        raise AssertionError("the rest was asked for")

    async with service.client() as http:
        answer = await http.post("/", content=never(), headers={"Content-Length": "11"})
    assert answer.status_code == 503
    assert (service.read, service.gone) == ([], 0)


async def test_an_undeclared_body_is_refused_when_it_is_too_large() -> None:
    service = Service()
    async with service.client() as http:
        answer = await http.post("/", content=chunks(b"123456", b"123456", b"1"))
        assert answer.status_code == 503
        assert (service.read, service.gone, service.budget.held_bytes) == ([], 1, 0)
        service.answer.set()
        assert (await http.post("/", content=chunks(b"123456", b"1234"))).text == "answered"


async def test_a_body_that_is_refused_is_not_parsed() -> None:
    service = Service()
    budget = BodyLimit(StrictJson(service.serve), 100, 10)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(budget), base_url="http://x"
    ) as http:
        answer = await http.post(
            "/", content=chunks(b"[1, NaN,", b"  1]"), headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 503
    assert (service.read, service.gone) == ([], 0)
