"""The whole stack: the order of the layers, and what the flags add."""

from contextlib import nullcontext
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from service.api.api_keys import GivenKeys
from service.api.backend import Backend, Loaded
from service.api.lifecycle import Lifecycle, State
from service.api.stack import StackOptions, build_stack, layers, line_layers
from service.request_context import current_request
from service.settings import load_settings

CHAT = "/v1/chat/completions"
ALL = StackOptions(
    cors={"allow_origins": ["https://page.example"]},
    traces=True,
    keys=[GivenKeys(["secret"])],
    keep_alive_seconds=15,
    boxes=True,
)


def names(options: StackOptions) -> list[str]:
    stack = layers(Backend(), Lifecycle(), load_settings(), options)
    return [layer.cls.__name__ for layer in stack]  # type: ignore[attr-defined]


def test_the_layers_stand_in_order() -> None:
    assert names(ALL) == [
        "RequestObserver",
        "CORSMiddleware",
        "Tracing",
        "HeadRequests",
        "Gate",
        "RequireKey",
        "RateLimit",
        "Deadline",
        "EventStream",
        "RetryAfter",
        "Decompress",
        "BodyLimit",
        "Admission",
        "StrictJson",
        "Boxes",
    ]


def test_the_lines_of_batches_pass_fewer_layers() -> None:
    stack = line_layers(Backend(), Lifecycle(), load_settings(), ALL)
    assert [layer.cls.__name__ for layer in stack] == [  # type: ignore[attr-defined]
        "RequestObserver",
        "Tracing",
        "Gate",
        "LineKey",
        "Deadline",
        "StrictJson",
        "Boxes",
    ]


def test_without_flags_the_optional_layers_are_absent() -> None:
    absent = {"CORSMiddleware", "Tracing", "RequireKey", "RateLimit", "Boxes"}
    assert names(StackOptions()) == [name for name in names(ALL) if name not in absent]


class Service:
    """A stack around an application that reports its request's context."""

    def __init__(self, options: StackOptions, full: bool = False, **settings: Any) -> None:
        self.lifecycle = Lifecycle()
        backend = Backend()
        backend.attach(
            Loaded(self._answer, lambda: True, lambda: full, lambda: nullcontext(True), lambda: 7)
        )
        self.lifecycle.state = State.READY
        self._stack = build_stack(backend, self.lifecycle, load_settings(**settings), options)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = current_request()
        answer = JSONResponse({"id": context.request_id, "tenant": context.tenant})
        await answer(scope, receive, send)

    async def post(self, path: str = CHAT, body: bytes = b"{}", **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(self._stack)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["content-type"] = "application/json"
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            return await http.post(path, content=body, headers=headers)


async def test_one_context_reaches_the_application() -> None:
    service = Service(ALL)
    answer = await service.post(authorization="Bearer secret", x_request_id="mine")
    assert answer.json() == {"id": "mine", "tenant": "default"}
    assert answer.headers["x-request-id"] == "mine"
    assert current_request().request_id == ""


async def test_the_key_is_checked_before_the_body_is_read() -> None:
    service = Service(ALL, request_max_bytes=1)
    assert (await service.post(body=b"NaN")).status_code == 401


@pytest.mark.parametrize(
    ("body", "full", "status"),
    [(b"NaN", True, 503), (b"[" + b" " * 99, True, 413), (b"NaN", False, 400), (b"{}", False, 200)],
)
async def test_the_outer_layer_refuses_first(body: bytes, full: bool, status: int) -> None:
    answer = await Service(StackOptions(), full, request_max_bytes=50).post(body=body)
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)
    assert answer.headers["x-request-id"]


async def test_a_drain_refuses_and_closes_the_connection() -> None:
    service = Service(StackOptions())
    await service.lifecycle.drain(grace=0)
    answer = await service.post()
    assert (answer.status_code, answer.headers["connection"]) == (503, "close")
