"""Lines of batches on their way through the layers to an application."""

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import pytest
from prometheus_client import REGISTRY
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from service.api.api_keys import KeyFile, KeySource
from service.api.backend import Backend, Loaded
from service.api.batch_lines import LineSender
from service.api.lifecycle import Lifecycle, State
from service.api.stack import StackOptions, build_line_stack
from service.batches.input_lines import InputLine
from service.batches.record import Batch, StoredBatch
from service.batches.result import LineResponse
from service.observability.logs import ACCESS
from service.request_context import current_request
from service.settings import load_settings
from service.usage.amounts import Usage
from service.usage.recording import shared_ledger

CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
STORED = StoredBatch(
    batch=Batch(
        id="batch_1",
        endpoint=CHAT,
        input_file_id="file-1",
        completion_window="24h",
        created_at=0,
        expires_at=1,
    ),
    owner="alice",
)


class Service:
    """The layers for lines around an application that answers with what it saw."""

    def __init__(self, keys: Sequence[KeySource] = ()) -> None:
        self.lifecycle = Lifecycle()
        self.healthy = True
        self.answer: Callable[[Any], Response] = lambda seen: JSONResponse(seen)
        backend = Backend()
        backend.attach(
            Loaded(
                self._app, lambda: self.healthy, lambda: True, lambda: nullcontext(False), lambda: 7
            )
        )
        self.lifecycle.state = State.READY
        stack = build_line_stack(
            backend, self.lifecycle, load_settings(request_max_bytes=1), StackOptions(keys=keys)
        )
        self._sender = LineSender(stack, lambda: self.healthy)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = current_request()
        seen = {
            "path": scope["path"],
            "method": scope["method"],
            "body": await Request(scope, receive).json(),
            "tenant": context.tenant,
            "batch": context.batch,
            "id": context.request_id,
        }
        self.limits = context.limits
        await self.answer(seen)(scope, receive, send)

    async def send(self, **body: Any) -> LineResponse:
        return await self._sender.send(STORED, InputLine("a", body))


async def test_a_line_is_a_request_of_its_batchs_owner() -> None:
    """It takes no slot of the engine's queue, which is full here, and no room among the bodies."""
    response = await Service().send(messages=[])
    seen = json.loads(response.body)
    assert (response.status, response.retry_after) == (200, None)
    assert seen == {
        "path": CHAT,
        "method": "POST",
        "body": {"messages": []},
        "tenant": "alice",
        "batch": "batch_1",
        "id": response.request_id,
    }
    assert current_request().batch == ""


async def test_a_line_has_an_access_line_and_no_request_metrics(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def count() -> float:
        labels = {"route": "other", "status": "200", "key": "alice"}
        return REGISTRY.get_sample_value("minigpt4_requests_total", labels) or 0.0

    before = count()
    with caplog.at_level(logging.INFO, ACCESS):
        await Service().send()
    (record,) = [each for each in caplog.records if each.name == ACCESS]
    assert record.__dict__["fields"]["batch"] == "batch_1"
    assert record.__dict__["fields"]["key"] == "alice"
    assert count() == before


@pytest.mark.parametrize("name", ["stream", "background"])
async def test_parameters_that_need_a_connected_client_are_refused(name: str) -> None:
    response = await Service().send(**{name: True})
    assert response.status == 400
    assert json.loads(response.body)["error"]["param"] == name
    assert (await Service().send(**{name: False})).status == 200


@pytest.mark.parametrize("value", [float("nan"), "\ud800"])
async def test_json_that_parsers_understand_differently_is_refused(value: Any) -> None:
    assert (await Service().send(value=value)).status == 400


@pytest.mark.parametrize(("header", "seconds"), [({}, 5.0), ({"retry-after": "9"}, 9.0)])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_line_is_retried_while_the_service_is_busy(
    status: int, header: dict[str, str], seconds: float
) -> None:
    service = Service()
    service.answer = lambda _: Response(b"{}", status, header)
    response = await service.send()
    assert (response.retry_after, response.interrupted) == (seconds, False)


async def test_a_failed_line_counts_unless_the_service_itself_has_failed() -> None:
    service = Service()
    service.answer = lambda _: Response(b"{}", 500)
    assert (await service.send()).retry_after is None
    service.healthy = False
    response = await service.send()
    assert response.interrupted
    assert response.retry_after
    service.lifecycle.state = State.FAILED
    response = await service.send()
    assert response.retry_after
    assert not response.interrupted, "the gate refused the line: it did not run"


async def test_a_draining_service_takes_no_line() -> None:
    service = Service()
    await service.lifecycle.drain(grace=0)
    response = await service.send()
    assert response.status == 503
    assert response.retry_after


async def test_a_crash_of_the_application_is_the_lines_own_error() -> None:
    service = Service()

    def crash(_: Any) -> Response:
        raise RuntimeError("bug")

    service.answer = crash
    assert (await service.send()).status == 500


async def test_a_line_has_the_rights_of_its_batchs_key(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"alice {'0' * 64} models=one concurrent_requests=1 requests_per_minute=1\n")
    service = Service([KeyFile(file)])
    for _ in range(3):
        assert (await service.send()).status == 200, "a line is no request of the limits"
    assert service.limits.models == frozenset({"one"})


async def test_a_key_that_was_removed(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"bob {'0' * 64}\n")
    response = await Service([KeyFile(file)]).send()
    assert (response.status, response.retry_after) == (401, None)


async def test_a_line_leaves_half_of_the_tokens_to_the_keys_requests(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"alice {'0' * 64} tokens_per_minute=100\n")
    service = Service([KeyFile(file)])
    assert (await service.send()).status == 200
    shared_ledger().add("alice", Usage(input_tokens=60))
    response = await service.send()
    assert response.status == 429
    assert response.retry_after
