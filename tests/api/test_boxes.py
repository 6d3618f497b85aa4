"""Boxes beside the texts of answers, in the form of each API."""

import json
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.middleware.boxes import Boxes
from service.request_context import (
    ImageSize,
    RequestContext,
    current_request,
    enter_request,
    leave_request,
)

ANSWER = "<p>dog</p> {<10><20><30><40>}"
EXPECTED = [{"image": 1, "phrase": "dog", "box": [20.0, 10.0, 60.0, 20.0]}]
SIZES: list[ImageSize | None] = [(5, 5), (200, 50)]

WHOLE = {
    "/v1/chat/completions": {"choices": [{"index": 0, "message": {"content": ANSWER}}]},
    "/v1/responses": {
        "output": [
            {"type": "reasoning", "content": None},
            {"type": "message", "content": [{"type": "output_text", "text": ANSWER}]},
        ]
    },
    "/v1/messages": {"type": "message", "content": [{"type": "text", "text": ANSWER}]},
}


def chunk(text: str | None, finish: str | None, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]}


def block(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}


STREAMS: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        chunk(ANSWER[:12], None),
        chunk("{<0>", None, 1),
        chunk(ANSWER[12:], "stop"),
        chunk(None, "length", 1),
        {"choices": [], "usage": {}},
    ],
    "/v1/responses": [
        {"type": "response.output_text.delta", "delta": ANSWER},
        {"type": "response.completed", "response": WHOLE["/v1/responses"]},
    ],
    "/v1/messages": [
        block(ANSWER[:12]),
        block(ANSWER[12:]),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    ],
}


async def post(path: str, response: Response, sizes: list[ImageSize | None]) -> httpx.Response:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        noted = current_request().image_sizes
        if noted is not None:
            noted.extend(sizes)
        await response(scope, receive, send)

    token = enter_request(RequestContext())
    try:
        transport = httpx.ASGITransport(Boxes(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.post(path)
    finally:
        leave_request(token)


def find_boxes(value: Any) -> list[Any]:
    """All values of a field ``boxes``, at any depth."""
    if isinstance(value, list):
        return [found for item in value for found in find_boxes(item)]
    if not isinstance(value, dict):
        return []
    own = [value["boxes"]] if "boxes" in value else []
    return own + [found for item in value.values() for found in find_boxes(item)]


@pytest.mark.parametrize("path", WHOLE)
async def test_a_whole_answer_has_boxes_beside_its_text(path: str) -> None:
    answer = (await post(path, JSONResponse(WHOLE[path]), SIZES)).json()
    assert find_boxes(answer) == [EXPECTED]
    assert ANSWER in json.dumps(answer), "the text stays"


def stream(path: str) -> StreamingResponse:
    async def events() -> Any:
        for event in STREAMS[path]:
            yield f"event: x\ndata: {json.dumps(event)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@pytest.mark.parametrize("path", STREAMS)
async def test_boxes_come_with_the_event_that_ends_an_answer(path: str) -> None:
    text = (await post(path, stream(path), SIZES)).text
    assert text.count("event: x\n") == len(STREAMS[path])
    assert text.endswith("data: [DONE]\n\n")
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    found = [find_boxes(event) for event in events]
    chat = [[], [], [EXPECTED], [[]], []]
    expected = {"/v1/chat/completions": chat, "/v1/responses": [[], [EXPECTED]]}
    assert found == expected.get(path, [[], [], [EXPECTED]])


@pytest.mark.parametrize("sizes", [[], [(5, 5), None]], ids=["no image", "embeddings"])
@pytest.mark.parametrize("path", WHOLE)
async def test_without_a_known_size_there_are_no_boxes(
    path: str, sizes: list[ImageSize | None]
) -> None:
    assert find_boxes((await post(path, JSONResponse(WHOLE[path]), sizes)).json()) == []
    assert "boxes" not in (await post(path, stream(path), sizes)).text


async def test_errors_and_other_routes_pass_unchanged() -> None:
    chat = "/v1/chat/completions"
    error = await post(chat, JSONResponse(WHOLE[chat], status_code=400), SIZES)
    assert error.json() == WHOLE[chat]
    other = await post("/v1/completions", JSONResponse(WHOLE[chat]), SIZES)
    assert other.json() == WHOLE[chat]
