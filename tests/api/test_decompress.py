"""Compressed bodies are unpacked, within the limits of plain bodies."""

import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.api.middleware.body_limit import BodyLimit
from service.api.middleware.decompress import PIECE_BYTES, Decompress

MAX_BYTES = 3 * PIECE_BYTES


async def echo(request: Request) -> Response:
    body = await request.body()
    return PlainTextResponse(f"{len(body)} {zlib.crc32(body)}")


async def post(body: bytes | AsyncIterator[bytes], encoding: str) -> httpx.Response:
    app = Starlette(routes=[Route("/", echo, methods=["POST"])])
    stack = Decompress(BodyLimit(app, MAX_BYTES, MAX_BYTES))
    transport = httpx.ASGITransport(stack)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        return await http.post("/", content=body, headers={"Content-Encoding": encoding})


@pytest.mark.parametrize(
    "plain", [b"", b"{}", b"x" * PIECE_BYTES, bytes(range(256)) * 2048, b"x" * MAX_BYTES]
)
async def test_a_packed_body_is_read_as_a_plain_one(plain: bytes) -> None:
    expected = f"{len(plain)} {zlib.crc32(plain)}"
    for encoding, packed in (
        ("gzip", gzip.compress(plain)),
        ("X-GZIP", gzip.compress(plain)),
        ("deflate", zlib.compress(plain)),
        ("identity", plain),
    ):
        answer = await post(packed, encoding)
        assert (answer.status_code, answer.text) == (200, expected)


async def test_a_body_may_arrive_byte_by_byte() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in gzip.compress(b"hello"):
            yield bytes([byte])

    assert (await post(pieces(), "gzip")).text.startswith("5 ")


async def test_a_bomb_is_stopped_by_the_limit_on_plain_bytes() -> None:
    bomb = gzip.compress(b"0" * (100 * MAX_BYTES))
    assert len(bomb) < MAX_BYTES
    assert (await post(bomb, "gzip")).status_code == 413


@pytest.mark.parametrize("body", [b"not packed", gzip.compress(b"hello")[:-9], b""])
async def test_a_broken_body_is_refused(body: bytes) -> None:
    answer = await post(body, "gzip")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "content-encoding"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
async def test_other_encodings_are_named_as_unsupported(encoding: str) -> None:
    answer = await post(b"x", encoding)
    assert answer.status_code == 415
    assert "gzip or deflate" in answer.json()["error"]["message"]
