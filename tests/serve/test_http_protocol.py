"""A request's head is bounded; what fits is served as by uvicorn itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.lifecycle import Lifecycle
from service.api.middleware.deadline import Deadline
from service.serve import http_protocol as protocol
from service.serve.http_protocol import MAX_HEAD_BYTES, BoundedHead

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


def talk(conversation: Talk) -> Any:
    """Run a conversation with a server of its own."""

    return serve(Starlette(routes=[Route("/", length, methods=["POST"])]), conversation)


def serve(app: ASGIApp, conversation: Talk) -> Any:
    async def run() -> Any:
        config = uvicorn.Config(app, port=0, http=BoundedHead, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await asyncio.wait_for(conversation(reader, writer), 20)
        finally:
            writer.close()
            server.should_exit = True
            await serving

    return asyncio.run(run())


def request(body: int, header: int = 1) -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: x\r\nX-Long: {'a' * header}\r\nContent-Length: {body}\r\n\r\n"
    return head.encode() + b"b" * body


@pytest.mark.parametrize("body", [0, MAX_HEAD_BYTES * 4])
def test_bodies_do_not_count_and_a_connection_serves_many_requests(body: int) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(request(body, header=MAX_HEAD_BYTES // 2))
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(len(str(body))) == str(body).encode()

    talk(conversation)


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "lead",
    [
        b"GET / HTTP/1.1\r\nX-Long: ",
        b"GET /",
        b"GET / HTTP/1.1\r\n",
        CHUNKED + b"1;extension=",
        CHUNKED + b"1\r\na\r\n0\r\n",
        CHUNKED + b"1\r\na\r\n0\r\nX-Long: ",
    ],
)
def test_a_head_that_grows_for_ever_is_cut(lead: bytes) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(lead)
        filler = b"A: b\r\n" * 1000 if lead.endswith(b"\r\n") else b"a" * 6000
        sent = 0
        while not reader.at_eof() and sent < 100 * MAX_HEAD_BYTES:
            try:
                writer.write(filler)
                await writer.drain()
            except ConnectionError:
                break
            sent += len(filler)
            await asyncio.sleep(0)
        return sent

    assert talk(conversation) < 100 * MAX_HEAD_BYTES


def test_a_chunked_body_with_trailers_is_served() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for _ in range(3):
            pieces = (b"10000\r\n" + b"a" * 0x10000 + b"\r\n") * 3
            writer.write(CHUNKED + pieces + b"0\r\nA: b\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            length = await reader.readexactly(len("196608"))
        return length

    assert talk(conversation) == b"196608"


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_arrive_is_given_up(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(sent)
        return await reader.read()

    assert talk(conversation) == b""


def test_a_body_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        whole = request(10)
        writer.write(whole[:-5])
        await asyncio.sleep(0.5)
        writer.write(whole[-5:])
        return await reader.readuntil(b"\r\n\r\n")

    assert talk(conversation).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("media_type", ["text/event-stream", "application/octet-stream"])
@pytest.mark.parametrize("listens", [True, False])
def test_a_client_that_stops_reading_is_left_when_the_time_is_over(
    media_type: str, listens: bool
) -> None:
    """Whether the application notices that the time is over, as streams do, or only sends."""
    ended = asyncio.Event()

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * MAX_HEAD_BYTES

        if listens:
            await StreamingResponse(chunks(), media_type=media_type)(scope, receive, send)
            return
        headers = [(b"content-type", media_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(1000):
            body = b"x" * MAX_HEAD_BYTES
            await send({"type": "http.response.body", "body": body, "more_body": True})

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await Deadline(flood, Lifecycle(), 0.1)(scope, receive, send)
        finally:
            ended.set()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.pause_reading()
        writer.write(request(0))
        await ended.wait()

    serve(watched, conversation)
