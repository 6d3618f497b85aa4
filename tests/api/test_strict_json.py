"""JSON bodies that only Python's parser accepts."""

import threading
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.api.middleware.strict_json import (
    EVENT_LOOP_COMMAS,
    MAX_BRACKETS,
    MAX_COMMAS,
    StrictJson,
    is_strict,
)


async def echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


APP = StrictJson(Starlette(routes=[Route("/", echo, methods=["POST", "GET"])]))

TAKEN = [
    b"",
    b"{",
    b'"caf\xc3\xa9"',
    rb'"\ud83d\ude00"',
    b'"NaN Infinity 1e999"',
    b'"12345678901234567890123"',
    b"[9223372036854775807, -9223372036854775808]",
    b"1e308",
    b"\xff",
    b"[" * 5000,
]
REFUSED = [
    b"NaN",
    b"[Infinity]",
    b'{"a": -Infinity}',
    b"1e999",
    b"-1E+400",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"1" * 5000,
    rb'"\ud800"',
    rb'{"\udfff": 1}',
    b'"\xed\xa0\x80"',
    rb'["\ud83d\ude00", "\ude00\ud83d"]',
    *("NaN".encode(encoding) for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32-be")),
]


async def post(body: bytes, content_type: str = "application/json") -> httpx.Response:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    async with httpx.AsyncClient(transport=httpx.ASGITransport(APP)) as client:
        return await client.post(
            "http://test/", content=chunks(), headers={"Content-Type": content_type}
        )


@pytest.mark.parametrize("body", TAKEN)
async def test_a_valid_body_is_passed_on_unchanged(body: bytes) -> None:
    answer = await post(body)
    assert answer.status_code == 200
    assert answer.content == body


@pytest.mark.parametrize("body", REFUSED)
async def test_a_body_is_refused(body: bytes) -> None:
    answer = await post(body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400


@pytest.mark.parametrize(
    ("commas", "on_loop"), [(EVENT_LOOP_COMMAS, True), (EVENT_LOOP_COMMAS + 1, False)]
)
async def test_large_bodies_are_parsed_on_a_thread(
    monkeypatch: pytest.MonkeyPatch, commas: int, on_loop: bool
) -> None:
    readers: list[threading.Thread] = []

    def read(body: bytes) -> bool:
        readers.append(threading.current_thread())
        return is_strict(body)

    monkeypatch.setattr("service.api.middleware.strict_json.is_strict", read)
    assert (await post(b"[" + b"0," * commas + b"0]")).status_code == 200
    assert (await post(b"[" + b"0," * commas + b"NaN]")).status_code == 400
    assert [reader is threading.current_thread() for reader in readers] == [on_loop] * 2


async def test_only_json_is_checked() -> None:
    assert (await post(b"NaN", "text/plain")).status_code == 200
    assert (await post(b"NaN", "application/vnd.x+JSON")).status_code == 400


@pytest.mark.parametrize(
    ("value", "most"),
    [(b"[]", MAX_BRACKETS - 1), (b"{}", MAX_BRACKETS - 1), (b"1", MAX_COMMAS + 1)],
)
def test_values_are_counted(value: bytes, most: int) -> None:
    assert is_strict(b"[" + b",".join([value] * most) + b"]")
    assert not is_strict(b"[" + b",".join([value] * (most + 1)) + b"]")
