"""The batch routes as OpenAI's client sees them, with a real store and without an engine."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler

from service.api.error_handlers import handle_service_error, handle_validation_error
from service.api.routes.batches import batches_router
from service.batches.limits import BatchLimits
from service.batches.store import BatchStore
from service.errors import ServiceError
from service.files.store import FileStore, StoreLimits
from tests.api.test_files import Keyed

CHAT: Any = "/v1/chat/completions"


@pytest.fixture
def store(tmp_path: Path) -> BatchStore:
    files = FileStore(tmp_path, StoreLimits(owner_bytes=1 << 20, owner_files=100, max_age=3600))
    return BatchStore(tmp_path / "batches", files, BatchLimits(open_batches=3))


@pytest.fixture
def app(store: BatchStore) -> Any:
    app = FastAPI()
    app.state.args = type("Arguments", (), {"log_error_stack": False})
    init_exception_handler(app)
    app.add_exception_handler(ServiceError, handle_service_error)
    app.add_exception_handler(RequestValidationError, handle_validation_error)
    app.include_router(batches_router(store))
    return Keyed(app)


def client_of(app: Any, key: str) -> AsyncOpenAI:
    http: Any = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    return AsyncOpenAI(base_url="http://test/v1", api_key=key, http_client=http, max_retries=0)


@pytest.fixture
async def client(app: Any) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(app, "alice") as client:
        yield client


@pytest.fixture
def file_id(store: BatchStore) -> str:
    return store.files.add("alice", b"{}", "in.jsonl", purpose="batch").id


def order(file_id: str, **changes: Any) -> dict[str, Any]:
    return {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", **changes}


async def test_creating_reading_and_cancelling(client: AsyncOpenAI, file_id: str) -> None:
    batch = await client.batches.create(**order(file_id, metadata={"a": "b"}))
    assert batch.status == "validating"
    assert batch.expires_at == batch.created_at + 24 * 3600
    assert (batch.input_file_id, batch.metadata) == (file_id, {"a": "b"})
    assert await client.batches.retrieve(batch.id) == batch
    cancelled = await client.batches.cancel(batch.id)
    assert (cancelled.status, bool(cancelled.cancelling_at)) == ("cancelling", True)


async def test_lists_have_pages(client: AsyncOpenAI, file_id: str) -> None:
    created = {(await client.batches.create(**order(file_id))).id for _ in range(3)}
    first = await client.batches.list(limit=2)
    assert (len(first.data), first.has_more) == (2, True)
    assert {batch.id async for batch in client.batches.list(limit=2)} == created


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "24"}, "completion_window"),
        ({"completion_window": "0h"}, "completion_window"),
        ({"completion_window": "169h"}, "completion_window"),
        ({"input_file_id": "file-x"}, "input_file_id"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {str(number): "v" for number in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "x", "seconds": 3600}}, "output_expires_after"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after"),
    ],
)
async def test_invalid_batches_are_refused(
    client: AsyncOpenAI, file_id: str, changes: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        await client.batches.create(**order(file_id, **changes))
    assert str(refused.value.param).startswith(parameter)


@pytest.mark.parametrize("window", ["90m", "600s", "168h"])
async def test_other_windows(client: AsyncOpenAI, file_id: str, window: Any) -> None:
    seconds = {"90m": 5400, "600s": 600, "168h": 604_800}[window]
    batch = await client.batches.create(**order(file_id, completion_window=window))
    assert batch.expires_at == batch.created_at + seconds


async def test_a_key_sees_only_its_own(app: Any, client: AsyncOpenAI, file_id: str) -> None:
    batch = await client.batches.create(**order(file_id))
    async with client_of(app, "bob") as bob:
        assert (await bob.batches.list()).data == []
        for call in (bob.batches.retrieve, bob.batches.cancel):
            with pytest.raises(NotFoundError):
                await call(batch.id)
        with pytest.raises(BadRequestError):
            await bob.batches.create(**order(file_id))


async def test_unfinished_batches_are_bounded(client: AsyncOpenAI, file_id: str) -> None:
    for _ in range(3):
        await client.batches.create(**order(file_id))
    with pytest.raises(RateLimitError):
        await client.batches.create(**order(file_id))


async def test_unknown_pages_and_limits(client: AsyncOpenAI) -> None:
    assert (await client.batches.list(after="batch_x")).data == []
    with pytest.raises(APIStatusError):
        await client.batches.list(limit=101)
