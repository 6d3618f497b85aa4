"""The edges of HTTP around a small application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from service.api.backend import Backend, Loaded
from service.api.lifecycle import Lifecycle, State
from service.api.middleware.body_limit import BodyLimit
from service.api.middleware.gate import Gate
from service.api.middleware.retry_after import RetryAfter


async def echo_length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def overloaded(_: Request) -> Response:
    return JSONResponse({}, 503)


async def patient(_: Request) -> Response:
    return JSONResponse({}, 503, headers={"Retry-After": "77"})


async def metrics(_: Request) -> Response:
    return PlainTextResponse("metrics")


APP = Starlette(
    routes=[
        Route("/echo", echo_length, methods=["POST"]),
        Route("/overloaded", overloaded),
        Route("/patient", patient),
        Route("/metrics", metrics),
    ]
)


def client(app: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")  # type: ignore[arg-type]


@pytest.fixture
def lifecycle() -> Lifecycle:
    return Lifecycle()


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def gate(backend: Backend, lifecycle: Lifecycle) -> Gate:
    return Gate(backend, backend, lifecycle)


def attach(backend: Backend, app: ASGIApp, lifecycle: Lifecycle, healthy: bool = True) -> None:
    """Open the gate."""
    loaded = Loaded(app, lambda: healthy, lambda: False, lambda: nullcontext(True), lambda: 9)
    backend.attach(loaded)
    lifecycle.state = State.READY


async def test_before_the_start_everything_is_unavailable(gate: Gate) -> None:
    async with client(gate) as http:
        for path in ("/ready", "/health", "/echo"):
            answer = await http.get(path)
            assert answer.status_code == 503
        assert (await http.get("/ready")).json() == {"status": "starting"}
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["error"]["code"] == 503


async def test_metrics_show_the_state_from_the_start(gate: Gate, lifecycle: Lifecycle) -> None:
    async with client(gate) as http:
        for state in State:
            lifecycle.state = state
            answer = await http.get("/metrics")
            assert answer.status_code == 200
            lines = [line for line in answer.text.splitlines() if line.startswith("minigpt4_state")]
            assert [line for line in lines if line.endswith(" 1.0")] == [
                f'minigpt4_state{{minigpt4_state="{state}"}} 1.0'
            ]
            assert len(lines) == len(State)


async def test_before_the_start_a_browser_gets_a_page_that_reloads(gate: Gate) -> None:
    firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    async with client(gate) as http:
        page = await http.get("/", headers={"Accept": firefox})
        assert page.status_code == 503
        assert page.headers["content-type"].startswith("text/html")
        assert "The service is starting." in page.text
        assert int(page.headers["refresh"]) > 0
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["retry-after"] == "5"
        for accept in ("*/*", "application/json", "application/json, text/html;q=0.5"):
            answer = await http.get("/", headers={"Accept": accept})
            assert answer.json()["error"]["code"] == 503
        posted = await http.post("/echo", headers={"Accept": firefox})
        assert posted.json()["error"]["code"] == 503


async def test_an_open_gate_passes_requests_on(
    gate: Gate, backend: Backend, lifecycle: Lifecycle
) -> None:
    attach(backend, APP, lifecycle)
    async with client(gate) as http:
        assert (await http.get("/ready")).json() == {"status": "ready"}
        echoed = await http.post("/echo", content=b"abc")
    assert echoed.text == "3"
    assert "connection" not in echoed.headers


async def test_a_response_during_a_drain_closes_its_connection(
    gate: Gate, backend: Backend, lifecycle: Lifecycle
) -> None:
    entered, finish = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Response:
        entered.set()
        await finish.wait()
        return PlainTextResponse("done")

    attach(backend, Starlette(routes=[Route("/slow", slow)]), lifecycle)
    async with client(gate) as http:
        running = asyncio.create_task(http.get("/slow"))
        await entered.wait()
        lifecycle.state = State.DRAINING
        finish.set()
        assert (await running).headers["connection"] == "close"


async def test_an_unhealthy_part_makes_the_service_unready(
    gate: Gate, backend: Backend, lifecycle: Lifecycle
) -> None:
    attach(backend, APP, lifecycle, healthy=False)
    async with client(gate) as http:
        answer = await http.get("/ready")
        health = await http.get("/health")
    assert answer.status_code == 503
    assert answer.json() == {"status": "failed"}
    assert health.status_code == 503
    assert "failed" in health.text


async def test_a_drain_waits_for_requests_in_flight(
    gate: Gate, backend: Backend, lifecycle: Lifecycle
) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            started.set()
            await finish.wait()
            yield b"last"

        return StreamingResponse(body())

    attach(backend, Starlette(routes=[Route("/slow", slow), *APP.routes]), lifecycle)
    async with client(gate) as http:
        running = asyncio.create_task(http.get("/slow"))
        await started.wait()
        draining = asyncio.create_task(lifecycle.drain(grace=30))
        await asyncio.sleep(0)  # let it begin
        assert lifecycle.state is State.DRAINING
        refused = await http.post("/echo", content=b"abc")
        assert refused.status_code == 503
        assert refused.headers["connection"] == "close"
        assert (await http.get("/ready")).json() == {"status": "draining"}
        assert (await http.get("/metrics")).text == "metrics"
        assert not draining.done()
        finish.set()
        assert (await running).text == "firstlast"
        assert await draining == 0


async def test_a_drain_ends_after_the_grace_period(lifecycle: Lifecycle) -> None:
    lifecycle.enter()
    assert await lifecycle.drain(grace=0.01) == 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_is_counted(chunked: bool) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b"x"

    async with client(BodyLimit(APP, max_bytes=10, max_total_bytes=100)) as http:
        for size, status in ((10, 200), (11, 413)):
            body = chunks(size) if chunked else b"x" * size
            answer = await http.post("/echo", content=body)
            assert answer.status_code == status
    assert answer.json()["error"]["type"] == "BadRequestError"


async def test_retry_after_is_added_where_it_is_missing() -> None:
    backend = Backend()
    attach(backend, APP, Lifecycle())
    async with client(RetryAfter(backend, backend)) as http:
        assert (await http.get("/overloaded")).headers["retry-after"] == "9"
        assert (await http.get("/patient")).headers["retry-after"] == "77"
        assert "retry-after" not in (await http.post("/echo")).headers
