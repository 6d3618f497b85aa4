"""Deadlines, against an application that behaves as vLLM's routers do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from vllm.entrypoints.serve.utils.api_utils import with_cancellation

from service.api.lifecycle import Lifecycle
from service.api.middleware.deadline import Deadline
from service.request_context import RequestContext, enter_request

started: list[str] = []
aborted: list[str] = []


@with_cancellation  # type: ignore[untyped-decorator]
async def answer(_: Request, raw_request: Request) -> JSONResponse:
    """Works in its own task, which only a disconnect ends."""
    started.append("answer")
    try:
        await asyncio.sleep(float(raw_request.query_params["seconds"]))
    except asyncio.CancelledError:
        aborted.append("answer")
        raise
    return JSONResponse({})


async def whole(request: Request) -> JSONResponse:
    await request.body()
    result = await answer(request, raw_request=request)
    return result or JSONResponse(None)


async def stream(_: Request) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        started.append("stream")
        try:
            while True:
                yield "data: x\n\n"
                await asyncio.sleep(0.01)
        finally:
            aborted.append("stream")

    return StreamingResponse(events(), media_type="text/event-stream")


def client(max_seconds: float) -> httpx.AsyncClient:
    routes = [Route("/whole", whole, methods=["POST"]), Route("/stream", stream, methods=["POST"])]
    app: ASGIApp = Deadline(Starlette(routes=routes), Lifecycle(), max_seconds)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")


@pytest.fixture(autouse=True)
def _clear() -> None:
    started.clear()
    aborted.clear()


async def post(max_seconds: float, path: str, **headers: str) -> httpx.Response:
    async with client(max_seconds) as http:
        return await http.post(path, headers=headers, content=b"body")


def test_a_request_within_the_limit_is_not_changed() -> None:
    response = asyncio.run(post(30, "/whole?seconds=0"))
    assert response.status_code == 200
    assert aborted == []


def test_an_answer_that_takes_too_long_is_aborted() -> None:
    response = asyncio.run(post(0.05, "/whole?seconds=30"))
    assert response.status_code == 504
    assert response.json()["error"]["type"] == "TimeoutError"
    assert aborted == ["answer"]


def test_the_header_shortens_the_limit_and_cannot_lengthen_it() -> None:
    response = asyncio.run(post(30, "/whole?seconds=30", **{"x-request-timeout": "0.05"}))
    assert response.status_code == 504
    assert "0.05" in response.text
    response = asyncio.run(post(0.05, "/whole?seconds=30", **{"x-request-timeout": "30"}))
    assert "0.05" in response.text


@pytest.mark.parametrize("value", ["", "soon", "-1", "0", "nan", "inf", "1e999"])
def test_an_invalid_timeout_header_is_refused(value: str) -> None:
    response = asyncio.run(post(30, "/whole?seconds=0", **{"x-request-timeout": value}))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "x-request-timeout"


def test_a_stream_ends_with_an_error_event() -> None:
    response = asyncio.run(post(0.2, "/stream"))
    assert response.status_code == 200
    events = response.text.strip().split("\n\n")
    assert events[0] == "data: x"
    assert events[-1].startswith("event: error\ndata: {")
    assert aborted == ["stream"]


@pytest.mark.parametrize("path", ["/stream", "/whole?seconds=30"])
def test_a_request_cut_by_the_drain_gets_an_error(path: str) -> None:
    routes = [Route("/whole", whole, methods=["POST"]), Route("/stream", stream, methods=["POST"])]

    async def run() -> httpx.Response:
        lifecycle = Lifecycle()
        app = Deadline(Starlette(routes=routes), lifecycle, 30)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://x"
        ) as http:
            asking = asyncio.create_task(http.post(path, content=b"body"))
            while not started:  # noqa: ASYNC110 - the applications say so in a list
                await asyncio.sleep(0)
            await lifecycle.drain(grace=0)
            return await asking

    response = asyncio.run(run())
    assert response.status_code == (200 if path == "/stream" else 503)
    assert "The service is stopping." in response.text
    assert aborted


def test_a_body_that_does_not_arrive_is_the_clients_fault() -> None:
    async def run() -> list[dict[str, object]]:
        sent: list[dict[str, object]] = []

        async def receive() -> dict[str, object]:
            await asyncio.sleep(30)
            return {"type": "http.request"}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/whole", "headers": []}
        scope |= {"query_string": b"seconds=0", "http_version": "1.1"}
        app = Starlette(routes=[Route("/whole", whole, methods=["POST"])])
        await Deadline(app, Lifecycle(), 0.05)(scope, receive, send)  # type: ignore[arg-type]
        return sent

    assert asyncio.run(run())[0]["status"] == 408


@pytest.mark.parametrize(
    ("own", "reason"), [(None, "deadline"), ("30", "deadline"), ("0.05", "client_deadline")]
)
def test_the_clients_and_the_services_limit_are_distinguished(own: str | None, reason: str) -> None:
    context = RequestContext()

    async def run() -> None:
        enter_request(context)
        app = Deadline(
            Starlette(routes=[Route("/whole", whole, methods=["POST"])]), Lifecycle(), 0.1
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            headers = {} if own is None else {"x-request-timeout": own}
            await http.post("/whole?seconds=30", headers=headers)

    asyncio.run(run())
    assert context.refusal == reason
