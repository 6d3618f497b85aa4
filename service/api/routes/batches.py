"""OpenAI's batch routes (https://platform.openai.com/docs/api-reference/batch)."""

import asyncio
import re
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from service.batches.record import Batch, BatchList, Endpoint
from service.batches.store import BatchOrder, BatchStore
from service.errors import NoSuchFileError, RequestError
from service.request_context import current_request

WINDOW = re.compile(r"([1-9][0-9]{0,5})([smh])")
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}
LONGEST_WINDOW = 7 * 24 * 3600

METADATA_PAIRS, KEY_CHARACTERS, VALUE_CHARACTERS = 16, 64, 512
SHORTEST_OUTPUT, LONGEST_OUTPUT = 3600, 2_592_000
"""Range of the output files' lifetime, in seconds; OpenAI's own."""

BatchId = Annotated[str, Path(description="As the creation's answer gave it.")]
Metadata = Annotated[
    dict[
        Annotated[str, Field(max_length=KEY_CHARACTERS)],
        Annotated[str, Field(max_length=VALUE_CHARACTERS)],
    ],
    Field(max_length=METADATA_PAIRS),
]


class OutputExpiresAfter(BaseModel):
    """When the output files expire."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=SHORTEST_OUTPUT, le=LONGEST_OUTPUT)


class CreateBatch(BaseModel):
    """The body of a creation."""

    model_config = ConfigDict(extra="ignore")

    input_file_id: str = Field(description="An uploaded file with the purpose `batch`.")
    endpoint: str = Field(description=f"One of {', '.join(get_args(Endpoint))}.")
    completion_window: str = Field(
        description="`24h`, or another number of hours, minutes (`90m`) or seconds (`600s`) up to 168h."
    )
    metadata: Metadata | None = None
    output_expires_after: OutputExpiresAfter | None = None


def batches_router(store: BatchStore) -> APIRouter:
    """The routes. The API key of a request is the owner of its batches."""
    routes = _Routes(store)
    router = APIRouter(tags=["batches"])
    router.add_api_route("/v1/batches", routes.create, methods=["POST"])
    router.add_api_route("/v1/batches", routes.list, methods=["GET"])
    router.add_api_route("/v1/batches/{batch_id}", routes.retrieve, methods=["GET"])
    router.add_api_route("/v1/batches/{batch_id}/cancel", routes.cancel, methods=["POST"])
    return router


class _Routes:
    def __init__(self, store: BatchStore) -> None:
        self._store = store

    async def create(self, body: CreateBatch) -> Batch:
        """Run the requests of an uploaded file at low priority."""
        order = BatchOrder(
            endpoint=_endpoint(body.endpoint),
            input_file_id=body.input_file_id,
            window=body.completion_window,
            window_seconds=_window_seconds(body.completion_window),
            metadata=body.metadata,
            output_seconds=expires.seconds if (expires := body.output_expires_after) else None,
        )
        try:
            return await asyncio.to_thread(self._store.create, current_request().tenant, order)
        except NoSuchFileError as error:
            raise RequestError(str(error), "input_file_id") from error

    async def list(
        self,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        after: Annotated[str | None, Query(description="The last id of the page before.")] = None,
    ) -> BatchList:
        """The batches of this API key, newest first."""
        batches = await asyncio.to_thread(self._store.list, current_request().tenant)
        if after is not None:
            ids = [batch.id for batch in batches]
            batches = batches[ids.index(after) + 1 :] if after in ids else []
        page = batches[:limit]
        return BatchList(
            data=page,
            first_id=page[0].id if page else None,
            last_id=page[-1].id if page else None,
            has_more=len(batches) > len(page),
        )

    async def retrieve(self, batch_id: BatchId) -> Batch:
        """A batch's state."""
        return await asyncio.to_thread(self._store.get, current_request().tenant, batch_id)

    async def cancel(self, batch_id: BatchId) -> Batch:
        """Start no further line.

        Lines that run are finished, and the output files hold what there is.
        """
        return await asyncio.to_thread(self._store.cancel, current_request().tenant, batch_id)


def _endpoint(given: str) -> Endpoint:
    for endpoint in get_args(Endpoint):
        if given == endpoint:
            return endpoint
    names = ", ".join(f"`{name}`" for name in get_args(Endpoint))
    raise RequestError(f"The endpoint of a batch is one of {names}.", "endpoint")


def _window_seconds(given: str) -> int:
    match = WINDOW.fullmatch(given)
    seconds = int(match[1]) * UNIT_SECONDS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_WINDOW:
        raise RequestError(
            "The completion window is `24h`, or another number of hours (h), minutes (m) or seconds (s) up to 168h.",
            "completion_window",
        )
    return seconds
