"""The files routes as a client sees them, with a real store and without an engine."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI, NotFoundError
from starlette.types import Receive, Scope, Send
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler

from service.api.error_handlers import handle_service_error
from service.api.middleware.body_limit import BodyLimit
from service.api.routes.files import MAX_UPLOADS, files_router
from service.errors import (
    FileQuotaError,
    ServiceError,
    StorageBusyError,
    StorageError,
    StorageFullError,
)
from service.files.record import FileRecord
from service.files.store import FileStore, StoreLimits
from service.request_context import RequestContext, enter_request, leave_request
from service.settings import load_settings
from tests.pictures import encoded, picture

PNG = encoded(picture())
MAX_BYTES = 50_000


class Keyed:
    """Takes the owner from a header, in place of the layer that checks API keys."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
        self.context = RequestContext(tenant=name)
        token = enter_request(self.context)
        try:
            await self._app(scope, receive, send)
        finally:
            leave_request(token)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    settings = load_settings(files_dir=tmp_path / "files", files_mb=1)
    return FileStore(settings.files_root, StoreLimits.from_settings(settings))


@pytest.fixture
def app(store: FileStore) -> Any:
    app = FastAPI()
    app.state.args = type("Arguments", (), {"log_error_stack": False})
    init_exception_handler(app)
    app.add_exception_handler(ServiceError, handle_service_error)
    settings = load_settings(image_max_bytes=MAX_BYTES, image_max_pixels=1_000_000)
    app.include_router(files_router(store, settings, asyncio.to_thread))
    return Keyed(BodyLimit(app, 4 * MAX_BYTES, 40 * MAX_BYTES))


def http(app: Any, key: str = "alice") -> Any:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://test/v1",
        headers={"Authorization": f"Bearer {key}"},
    )


@pytest.fixture
async def client(app: Any) -> AsyncIterator[AsyncOpenAI]:
    async with http(app) as connection:
        yield AsyncOpenAI(
            base_url="http://test/v1", api_key="alice", http_client=connection, max_retries=0
        )


async def test_openais_client_creates_lists_retrieves_and_deletes(client: AsyncOpenAI) -> None:
    file = await client.files.create(file=("cat.png", PNG), purpose="vision")
    assert (file.bytes, file.filename, file.purpose) == (len(PNG), "cat.png", "vision")
    assert [other.id async for other in client.files.list()] == [file.id]
    assert await client.files.retrieve(file.id) == file
    assert (await client.files.content(file.id)).content == PNG
    assert (await client.files.delete(file.id)).deleted
    with pytest.raises(NotFoundError) as caught:
        await client.files.retrieve(file.id)
    assert caught.value.response.json()["error"]["code"] == 404
    assert [other.id async for other in client.files.list()] == []


async def test_a_client_may_set_the_expiry(client: AsyncOpenAI) -> None:
    file = await client.files.create(
        file=("cat.png", PNG),
        purpose="vision",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert file.expires_at == file.created_at + 3600


async def test_a_list_is_read_page_by_page(client: AsyncOpenAI) -> None:
    ids = [
        (await client.files.create(file=("cat.png", PNG), purpose="vision")).id for _ in range(5)
    ]
    seen = [file.id async for file in client.files.list(limit=2)]
    assert sorted(seen) == sorted(ids)
    backwards = [file.id async for file in client.files.list(limit=2, order="asc")]
    assert backwards == seen[::-1]
    page = await client.files.list(limit=2)
    assert page.has_more
    assert [file.id async for file in client.files.list(purpose="batch")] == []


async def test_a_key_cannot_reach_the_files_of_another_key(app: Any, client: AsyncOpenAI) -> None:
    file = await client.files.create(file=("cat.png", PNG), purpose="vision")
    async with http(app, "bob") as other:
        assert (await other.get("/files")).json()["data"] == []
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            answer = await other.request(method, f"/files/{file.id}{path}")
            assert answer.status_code == 404
    assert await client.files.retrieve(file.id) == file


def form(**changes: Any) -> dict[str, Any]:
    return {"files": {"file": ("a.png", PNG)}, "data": {"purpose": "vision"}, **changes}


TOO_LARGE = encoded(picture(size=(1001, 1000)))
REFUSED = {
    "no purpose": (form(data={}), "purpose"),
    "another purpose": (form(data={"purpose": "fine-tune"}), "purpose"),
    "no file": (form(files={"other": b"x"}), "file"),
    "a file that is text": (form(files={"file": ("a.png", b"hello")}), "file"),
    "a file that is empty": (form(files={"file": ("a.png", b"")}), "file"),
    "a truncated image": (form(files={"file": ("a.png", PNG[:-50])}), "file"),
    "too many pixels": (form(files={"file": ("a.png", TOO_LARGE)}), "file"),
    "too many bytes": (form(files={"file": ("a.png", PNG + bytes(MAX_BYTES))}), "file"),
    "two files": (form(files=[("file", PNG), ("file", PNG)]), "file"),
    "a field in the file's place": (form(files=[("x", ("", b""))], data={"file": "a"}), "purpose"),
    "json": ({"json": {"purpose": "vision", "file": "x"}}, "file"),
    "no body": ({}, "file"),
    "an anchor only": (
        form(data={"purpose": "vision", "expires_after[anchor]": "created_at"}),
        "expires_after[seconds]",
    ),
    "another anchor": (
        form(data={"purpose": "vision", "expires_after[anchor]": "x"}),
        "expires_after[anchor]",
    ),
    "no number": (
        form(
            data={
                "purpose": "vision",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "1e9",
            }
        ),
        "expires_after[seconds]",
    ),
    "too soon": (
        form(
            data={
                "purpose": "vision",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "1",
            }
        ),
        "expires_after[seconds]",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_an_upload_is_refused(app: Any, store: FileStore, name: str) -> None:
    request, parameter = REFUSED[name]
    async with http(app) as connection:
        answer = await connection.post("/files", **request)
        good = await connection.post("/files", **form())
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    assert (error["code"], error["param"]) == (400, parameter)
    assert good.status_code == 200
    assert len(store.records("alice")) == 1


RAW = {
    "no boundary": ("multipart/form-data", b"x"),
    "an empty boundary": ("multipart/form-data; boundary=", b"x"),
    "another boundary": ("multipart/form-data; boundary=x", b"--y\r\n\r\n--y--"),
    "cut off": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
    ),
    "no name": (
        "multipart/form-data; boundary=x",
        b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n",
    ),
    "no disposition": ("multipart/form-data; boundary=x", b"--x\r\n\r\nabc\r\n--x--\r\n"),
    "an odd charset": (
        "multipart/form-data; boundary=x; charset=idna",
        b'--x\r\nContent-Disposition: form-data; name="\xff\xfe.."\r\n\r\nabc\r\n--x--\r\n',
    ),
    "a codec that is not a charset": (
        "multipart/form-data; boundary=x; charset=zlib",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nabc\r\n--x--\r\n',
    ),
    "a long field": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n'
        + b"a" * 5000
        + b"\r\n--x--\r\n",
    ),
    "many fields": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 100 + b"--x--\r\n",
    ),
}


@pytest.mark.parametrize("name", RAW)
async def test_a_malformed_form_is_refused(app: Any, name: str) -> None:
    content_type, body = RAW[name]
    async with http(app) as connection:
        answer = await connection.post(
            "/files", content=body, headers={"Content-Type": content_type}
        )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


async def test_a_body_over_the_limit_is_refused(app: Any) -> None:
    async with http(app) as connection:
        answer = await connection.post("/files", files={"file": bytes(5 * MAX_BYTES)})
    assert answer.status_code == 413


async def test_a_key_has_a_quota(app: Any) -> None:
    big = PNG + bytes(MAX_BYTES - len(PNG))
    async with http(app) as connection:
        answers = [await connection.post("/files", **form(files={"file": big})) for _ in range(21)]
        assert [answer.status_code for answer in answers] == [200] * 20 + [413]
        assert "delete" in answers[-1].json()["error"]["message"]


async def test_slow_uploads_do_not_block_other_uploads(app: Any) -> None:
    begun, finish = asyncio.Semaphore(0), asyncio.Event()
    request = httpx.Request("POST", "http://x", **form())
    body, headers = request.read(), {"Content-Type": request.headers["Content-Type"]}

    async def slow() -> AsyncIterator[bytes]:
        begun.release()
        yield body[:50]
        await finish.wait()
        yield body[50:]

    async with http(app, "bob") as others, http(app) as connection:
        uploads = [
            asyncio.create_task(others.post("/files", content=slow(), headers=headers))
            for _ in range(MAX_UPLOADS)
        ]
        for _ in uploads:
            await begun.acquire()
        assert (await connection.post("/files", **form())).status_code == 200
        finish.set()
        assert {(await upload).status_code for upload in uploads} == {200}


async def test_too_many_uploads_at_once_are_refused_with_503(app: Any, store: FileStore) -> None:
    begun, finish = asyncio.Semaphore(0), threading.Event()
    add, loop = store.add, asyncio.get_running_loop()

    def slow(*arguments: Any) -> FileRecord:
        loop.call_soon_threadsafe(begun.release)
        finish.wait()
        return add(*arguments)

    store.add = Mock(side_effect=slow)
    loop.set_default_executor(ThreadPoolExecutor(2 * MAX_UPLOADS))
    async with http(app) as connection:
        uploads = [
            asyncio.create_task(connection.post("/files", **form())) for _ in range(MAX_UPLOADS)
        ]
        for _ in uploads:
            await begun.acquire()
        refused = await connection.post("/files", **form())
        finish.set()
        assert {(await upload).status_code for upload in uploads} == {200}
    assert refused.status_code == 503


async def test_an_exceeded_quota_is_recorded_as_such_and_not_as_a_large_body(
    app: Any, store: FileStore
) -> None:
    """Metrics and access log lines read this refusal."""
    store.add = Mock(side_effect=FileQuotaError("full"))
    async with http(app) as connection:
        assert (await connection.post("/files", **form())).status_code == 413
    assert app.context.refusal == "file_quota"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageFullError("The disk of the uploaded files is full."), 507),
        (StorageError("Uploaded files are not available now."), 500),
        (StorageBusyError("Too many files are being uploaded; try again later."), 503),
    ],
)
async def test_a_disk_error_has_its_own_status(
    app: Any, store: FileStore, error: ServiceError, status: int
) -> None:
    store.add = Mock(side_effect=error)
    async with http(app) as connection:
        answer = await connection.post("/files", **form())
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == status


async def test_a_browser_never_shows_a_downloaded_file_as_a_page(client: AsyncOpenAI) -> None:
    polyglot = PNG + b"<script>alert(1)</script>"
    file = await client.files.create(file=("a.html", polyglot), purpose="vision")
    answer = await client.files.content(file.id)
    assert answer.content == polyglot
    headers = answer.response.headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment")
