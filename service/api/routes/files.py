"""OpenAI's files routes (https://platform.openai.com/docs/api-reference/files)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from service.api.routes.upload import ANCHOR, SECONDS, Upload, check_image, read_upload
from service.errors import NoSuchFileError, NotFoundError, StorageBusyError, StorageError
from service.files.record import PURPOSES, DeletedFile, FileList, FileRecord
from service.files.store import FileStore
from service.request_context import current_request
from service.settings import Settings

MAX_UPLOADS = 8
"""Uploads that are checked and written at the same time. Uploads that still arrive do not count, because a slow client
would block others. Their memory is limited with that of all bodies."""

PIECE_BYTES = 1 << 18
"""Bytes of a file that are sent at once."""

SWEEP_SECONDS = 600
"""Seconds between removals of expired files. An expired file cannot be read."""

FORM = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "An image, or a batch's JSON lines.",
        },
        "purpose": {"type": "string", "enum": list(PURPOSES)},
        ANCHOR: {"type": "string", "enum": ["created_at"]},
        SECONDS: {"type": "integer", "description": "Seconds until the file is gone."},
    },
}
BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}
}
Decode = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a function on the decoding threads, and raises its errors."""

FileId = Annotated[str, Path(description="As the upload's answer gave it.")]


def files_router(
    store: FileStore, settings: Settings, decode: Decode, api_processes: int = 1
) -> APIRouter:
    """The routes of one of ``api_processes``. While the application runs, a task removes expired files."""

    @asynccontextmanager
    async def sweeping(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep_forever(store))
        yield
        task.cancel()

    routes = _Routes(store, settings, decode, max(1, MAX_UPLOADS // api_processes))
    router = APIRouter(lifespan=sweeping, tags=["files"])
    router.add_api_route("/v1/files", routes.create, methods=["POST"], openapi_extra=BODY)
    router.add_api_route("/v1/files", routes.list, methods=["GET"])
    router.add_api_route("/v1/files/{file_id}", routes.retrieve, methods=["GET"])
    router.add_api_route("/v1/files/{file_id}", routes.delete, methods=["DELETE"])
    router.add_api_route(
        "/v1/files/{file_id}/content",
        routes.content,
        methods=["GET"],
        response_class=Response,
        responses={200: {"content": {"application/octet-stream": {}}}},
    )
    return router


class _Routes:
    """The handlers. The API key of a request is the owner of its files."""

    def __init__(
        self, store: FileStore, settings: Settings, decode: Decode, max_uploads: int
    ) -> None:
        self._store = store
        self._settings = settings
        self._decode = decode
        self._max_uploads = max_uploads
        self._uploads = 0

    async def create(self, request: Request) -> FileRecord:
        """Upload an image once and refer to it by its id in any number of requests; or the lines of a batch."""
        upload = await read_upload(request, self._settings.image_max_bytes)
        if self._uploads >= self._max_uploads:
            raise StorageBusyError("Too many files are being uploaded; try again later.")
        self._uploads += 1
        try:
            return await self._keep(upload)
        finally:
            self._uploads -= 1

    async def _keep(self, upload: Upload) -> FileRecord:
        if upload.purpose != "batch":
            await self._decode(partial(check_image, upload.data, self._settings.image_max_pixels))
        return await asyncio.to_thread(
            self._store.add,
            current_request().tenant,
            upload.data,
            upload.filename,
            upload.age,
            upload.purpose,
        )

    async def list(
        self,
        purpose: Annotated[str | None, Query(description="Only files with this purpose.")] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
        order: Literal["asc", "desc"] = "desc",
        after: Annotated[str | None, Query(description="The last id of the page before.")] = None,
    ) -> FileList:
        """The files of this API key, by time of upload."""
        records = await asyncio.to_thread(self._store.records, current_request().tenant)
        records = [record for record in records if purpose in (None, record.purpose)]
        if order == "asc":
            records.reverse()
        if after is not None:
            ids = [record.id for record in records]
            records = records[ids.index(after) + 1 :] if after in ids else []
        page = records[:limit]
        return FileList(
            data=page,
            first_id=page[0].id if page else None,
            last_id=page[-1].id if page else None,
            has_more=len(records) > len(page),
        )

    async def retrieve(self, file_id: FileId) -> FileRecord:
        """A file's record."""
        with _answer_not_found():
            return await asyncio.to_thread(self._store.record, current_request().tenant, file_id)

    async def delete(self, file_id: FileId) -> DeletedFile:
        """Remove a file. Requests in flight that have read it are not affected."""
        with _answer_not_found():
            await asyncio.to_thread(self._store.delete, current_request().tenant, file_id)
        return DeletedFile(id=file_id)

    async def content(self, file_id: FileId) -> Response:
        """A file as it was uploaded, or a batch's output."""
        tenant = current_request().tenant
        with _answer_not_found():
            record = await asyncio.to_thread(self._store.record, tenant, file_id)
            file = await asyncio.to_thread(self._store.open, tenant, file_id)
        # A browser must never render an uploaded file as a page of this site.
        headers = {
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": f'attachment; filename="{file_id}"',
            "Content-Length": str(record.bytes),
        }
        return StreamingResponse(
            _read_pieces(file), headers=headers, media_type="application/octet-stream"
        )


def _read_pieces(file: BinaryIO) -> Iterator[bytes]:
    """A batch's output may be too large to be held as one object. Starlette iterates on a thread."""
    with file:
        yield from iter(partial(file.read, PIECE_BYTES), b"")


async def _sweep_forever(store: FileStore) -> None:
    while True:
        with suppress(StorageError, OSError):
            await asyncio.to_thread(store.sweep)
        await asyncio.sleep(SWEEP_SECONDS)


@contextmanager
def _answer_not_found() -> Iterator[None]:
    """Answer 404, because the id is in the path. In a content part, a missing file is a 400."""
    try:
        yield
    except NoSuchFileError as error:
        raise NotFoundError(str(error)) from error
