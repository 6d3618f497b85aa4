"""Limits of API keys: who is refused, what the headers say, what the usage route reports."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.api import api_keys
from service.api.api_keys import KeyFile
from service.api.keys_command import add_key, set_limits
from service.api.middleware.rate_limit import RateLimit, format_seconds
from service.api.middleware.request_observer import RequestObserver
from service.api.middleware.require_key import RequireKey
from service.api.routes.usage import usage_router
from service.request_context import current_request
from service.usage import recording
from service.usage.amounts import KeyLimits, Usage
from service.usage.mapped_ledger import create
from service.usage.recording import record, set_ledger

CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(api_keys, "RECHECK_SECONDS", 0.0)
    before = recording._ledger
    set_ledger(create())
    yield
    recording._ledger = before


class Service:
    """The layers around an application that uses ten tokens for each request."""

    def __init__(self, file: Path, limits: KeyLimits) -> None:
        self.key = add_key("alice", file, limits)
        self.file = file
        self.running = asyncio.Event()
        self.end = asyncio.Event()
        app = FastAPI()
        app.include_router(usage_router())
        app.router.routes += [
            Route(CHAT, self._chat, methods=["POST", "GET"]),
            Route("/v1/stream", self._stream, methods=["POST"]),
        ]
        self._app = RequestObserver(RequireKey(RateLimit(app), [KeyFile(file)]))

    async def _chat(self, _: object) -> Response:
        record(current_request().tenant, Usage(input_tokens=8, output_tokens=2))
        return JSONResponse({})

    async def _stream(self, _: object) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            self.running.set()
            yield b"a"
            await self.end.wait()
            yield b"b"

        return StreamingResponse(chunks())

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self._app)
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers)


async def test_a_request_beyond_the_limit_is_refused_in_openais_shape(tmp_path: Path) -> None:
    service = Service(tmp_path / "keys", KeyLimits(requests_per_minute=2))
    async with service.client() as http:
        served = [await http.post(CHAT) for _ in range(2)]
        refused = await http.post(CHAT)
        free = await http.get(CHAT)
    assert [answer.status_code for answer in served] == [200, 200]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in served] == ["1", "0"]
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("RateLimitError", 429, None)
    assert "alice may use 2 requests a minute" in error["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    assert "x-ratelimit-limit-tokens" not in refused.headers
    assert free.status_code == 200, "only requests with a body count"


async def test_tokens_are_limited_by_what_was_used(tmp_path: Path) -> None:
    service = Service(tmp_path / "keys", KeyLimits(tokens_per_minute=15))
    async with service.client() as http:
        first, second, third = [await http.post(CHAT) for _ in range(3)]
    assert first.headers["x-ratelimit-remaining-tokens"] == "15"
    assert second.headers["x-ratelimit-remaining-tokens"] == "5"
    assert third.status_code == 429
    # 20 tokens were used; one of 15 a minute is free when 14 are left.
    assert third.headers["retry-after"] in ("23", "24")
    assert third.headers["x-ratelimit-reset-tokens"].startswith("1m")


async def test_a_stream_counts_until_it_has_ended(tmp_path: Path) -> None:
    service = Service(tmp_path / "keys", KeyLimits(concurrent_requests=1))
    async with service.client() as http:
        stream = asyncio.create_task(http.post("/v1/stream"))
        await service.running.wait()
        refused = await http.post(CHAT)
        service.end.set()
        await stream
        served = await http.post(CHAT)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert served.status_code == 200


async def test_a_client_that_disconnects_makes_room(tmp_path: Path) -> None:
    service = Service(tmp_path / "keys", KeyLimits(concurrent_requests=1))
    async with service.client() as http:
        stream = asyncio.create_task(http.post("/v1/stream"))
        await service.running.wait()
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)
        assert (await http.post(CHAT)).status_code == 200


async def test_a_changed_file_applies_to_the_next_request(tmp_path: Path) -> None:
    service = Service(tmp_path / "keys", KeyLimits(requests_per_minute=1))
    async with service.client() as http:
        assert (await http.post(CHAT)).status_code == 200
        assert (await http.post(CHAT)).status_code == 429
        set_limits("alice", service.file, KeyLimits(requests_per_minute=3))
        assert (await http.post(CHAT)).headers["x-ratelimit-limit-requests"] == "3"
        set_limits("alice", service.file, KeyLimits())
        unlimited = await http.post(CHAT)
    assert unlimited.status_code == 200
    assert not [name for name in unlimited.headers if name.startswith("x-ratelimit")]


async def test_the_usage_route_reports_the_keys_own_figures(tmp_path: Path) -> None:
    limits = KeyLimits(tokens_per_minute=100, models=frozenset({"b", "a"}))
    service = Service(tmp_path / "keys", limits)
    record("bob", Usage(images=99))
    async with service.client() as http:
        await http.post(CHAT, content=b"12345")
        report = (await http.get("/v1/usage")).json()
    assert report["key"] == "alice"
    assert (report["requests"], report["input_tokens"], report["output_tokens"]) == (1, 8, 2)
    assert (report["images"], report["bytes_sent"]) == (0, 2)
    assert report["limits"] == {
        "requests_per_minute": None,
        "tokens_per_minute": 100,
        "concurrent_requests": None,
        "models": ["a", "b"],
    }
    assert report["remaining"]["requests"] is None
    assert 90 <= report["remaining"]["tokens"] <= 91


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.017, "17ms"), (1, "1s"), (1.5, "1.5s"), (90, "1m30s"), (360, "6m0s")],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
