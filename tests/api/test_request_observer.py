"""Access lines, counters, request ids and spans, for an application with one route of each kind."""

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from vllm.entrypoints.serve.utils.api_utils import with_cancellation

from service.api.error_responses import Refusal
from service.api.middleware.request_observer import CLIENT_CLOSED, RequestObserver
from service.api.middleware.tracing import Tracing
from service.observability import logs
from service.observability.tracing import span
from service.request_context import current_request
from service.serve.banner import say

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/echo/{name}")
    async def echo(request: Request, name: str) -> dict[str, Any]:
        with span("inner"):
            return {
                "id": request.headers["x-request-id"],
                "parent": request.headers.get("traceparent"),
            }

    @app.get("/refused")
    async def refused(request: Request) -> Response:
        current_request().tenant = "alice"
        current_request().refusal = Refusal.DRAINING
        return JSONResponse({}, 503)

    @app.get("/impatient")
    async def impatient(request: Request) -> Response:
        current_request().refusal = Refusal.CLIENT_DEADLINE
        return JSONResponse({}, 504)

    @app.get("/broken")
    async def broken() -> Response:
        raise RuntimeError("broken")

    return app


def get(
    path: str, headers: dict[str, str] | None = None, *, traced: bool = False
) -> httpx.Response:
    app = Tracing(application()) if traced else application()

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(RequestObserver(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            return await http.get(path, headers=headers)

    return asyncio.run(run())


class Lines(logging.Handler):
    """Keeps the access lines."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    logger = logging.getLogger(logs.ACCESS)
    handler = Lines()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.records
    logger.removeHandler(handler)


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_one_line_and_one_count(lines: list[logging.LogRecord]) -> None:
    labels = {"route": "/echo/{name}", "status": "200", "key": ""}
    before = count("minigpt4_requests_total", **labels)
    response = get("/echo/a", {"x-request-id": "mine-1"})
    assert response.headers.get_list("x-request-id") == ["mine-1"]
    assert response.json()["id"] == "mine-1"
    assert count("minigpt4_requests_total", **labels) == before + 1
    (line,) = lines
    assert line.getMessage() == "GET '/echo/a' 200"
    assert line.fields["request_id"] == "mine-1"  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", ["", "a b", "a\tb", "x" * 129, 'a"b'])
def test_a_request_id_that_could_forge_a_line_is_replaced(given: str) -> None:
    response = get("/echo/a", {"x-request-id": given})
    assert response.headers["x-request-id"] not in ("", given)
    assert response.json()["id"] == response.headers["x-request-id"]


def test_a_path_cannot_forge_a_line(lines: list[logging.LogRecord]) -> None:
    assert get("/no%0Asuch").status_code == 404
    assert "\n" not in lines[-1].getMessage()


def test_unknown_paths_share_one_series() -> None:
    labels = {"route": "other", "status": "404", "key": ""}
    before = count("minigpt4_requests_total", **labels)
    get("/nowhere/1")
    get("/nowhere/2")
    assert count("minigpt4_requests_total", **labels) == before + 2


def test_refusals_are_counted_by_reason_and_key() -> None:
    before = count("minigpt4_requests_rejected_total", reason="draining")
    get("/refused")
    assert count("minigpt4_requests_rejected_total", reason="draining") == before + 1
    assert count("minigpt4_requests_total", route="/refused", status="503", key="alice") >= 1


def test_a_disconnected_client_has_its_own_status(lines: list[logging.LogRecord]) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def nothing(*_: Any) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    asyncio.run(RequestObserver(silent)(scope, nothing, nothing))  # type: ignore[arg-type]
    assert lines[-1].getMessage().endswith(str(CLIENT_CLOSED))


def test_an_answer_to_a_disconnected_client_does_not_count_as_served(
    lines: list[logging.LogRecord],
) -> None:
    """vLLM's routers stop at a disconnect, and FastAPI sends a 200 to the closed connection."""
    app = FastAPI()

    @app.get("/slow")
    @with_cancellation  # type: ignore[untyped-decorator]
    async def slow(raw_request: Request) -> Any:
        return await asyncio.Future()

    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def nothing(_: Any) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/slow", "headers": [], "query_string": b""}
    asyncio.run(RequestObserver(app)(scope, receive, nothing))
    assert lines[-1].getMessage() == f"GET '/slow' {CLIENT_CLOSED}"


def test_a_disconnect_after_the_answer_loses_nothing(lines: list[logging.LogRecord]) -> None:
    async def thorough(scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse({})(scope, receive, send)
        assert (await receive())["type"] == "http.disconnect"

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def nothing(_: Any) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    asyncio.run(RequestObserver(thorough)(scope, receive, nothing))
    assert lines[-1].getMessage().endswith("200")


def test_a_clients_own_deadline_is_not_a_failure_of_the_service(
    lines: list[logging.LogRecord],
) -> None:
    before = count("minigpt4_requests_rejected_total", reason=Refusal.CLIENT_DEADLINE)
    assert get("/impatient").status_code == 504
    assert lines[-1].getMessage() == f"GET '/impatient' {CLIENT_CLOSED}"
    assert count("minigpt4_requests_rejected_total", reason=Refusal.CLIENT_DEADLINE) == before + 1


def test_nothing_stays_in_flight() -> None:
    get("/broken")
    get("/echo/a")
    assert count("minigpt4_requests_in_flight") == 0


def test_probes_are_not_logged(lines: list[logging.LogRecord]) -> None:
    get("/health")
    assert not lines


def test_files_of_the_page_are_counted_but_not_logged(lines: list[logging.LogRecord]) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await Response("", 404 if scope["path"].endswith("gone.js") else 200)(scope, receive, send)

    async def nothing(*_: Any) -> None: ...

    before = count("minigpt4_requests_total", route="other", status="200", key="")
    for path in ("/", "/page/main.js", "/docs/swagger-ui.css", "/page/gone.js", "/docs"):
        scope: Any = {"type": "http", "method": "GET", "path": path, "headers": []}
        asyncio.run(RequestObserver(page)(scope, nothing, nothing))  # type: ignore[arg-type]
    assert count("minigpt4_requests_total", route="other", status="200", key="") == before + 4
    assert [line.getMessage() for line in lines] == ["GET '/page/gone.js' 404", "GET '/docs' 200"]


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """The tracer provider of this process, which OpenTelemetry allows to be set only once."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    return memory


def test_spans_continue_the_callers_trace_and_vllm_ours(
    exporter: InMemorySpanExporter, lines: list[logging.LogRecord]
) -> None:
    exporter.clear()
    handed_on = get("/echo/a", {"traceparent": PARENT}, traced=True).json()["parent"]
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, outer.name) == ("inner", "GET /echo/{name}")
    assert f"{outer.context.trace_id:032x}" == TRACE
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert handed_on.split("-")[1:3] == [TRACE, f"{outer.context.span_id:016x}"]
    assert lines[-1].fields["trace_id"] == TRACE  # type: ignore[attr-defined]


def test_text_lines_begin_with_the_time_but_not_those_of_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        logs.configure_logs("text")
        get("/echo/a", {"x-request-id": "mine-2"})
        say("Ready: http://127.0.0.1:8000")
        access, ready = capsys.readouterr().err.splitlines()
    finally:
        logging.getLogger(logs.ROOT).handlers.clear()
        logging.getLogger(logs.ROOT).propagate = True
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d GET '/echo/a' 200 seconds=", access)
    assert ready == "Ready: http://127.0.0.1:8000"


def test_json_lines_carry_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        logs.configure_logs("json")
        get("/echo/a", {"x-request-id": "mine-2"})
        line = json.loads(capsys.readouterr().err)
    finally:
        logging.getLogger(logs.ROOT).handlers.clear()
        logging.getLogger(logs.ROOT).propagate = True
    assert line["message"] == "GET '/echo/a' 200"
    assert line["request_id"] == "mine-2"
    assert "fields" not in line
