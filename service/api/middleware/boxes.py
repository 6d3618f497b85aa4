"""Adds the boxes of an answer to the response, in pixels of the image that the client sent.

Each API has its own place for an answer's text; the boxes stand beside it. Only families with boxes
have this layer.
"""

import json
from collections.abc import Iterator
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.boxes import parse_boxes
from service.request_context import ImageSize, current_request

ANSWERING = ("/v1/chat/completions", "/v1/responses", "/v1/messages")
FIELD = "boxes"

Sizes = list[ImageSize | None]
"""The sizes of the request's images, which are known when its answer begins."""


class Boxes:
    """ASGI layer: parses finished answers, whole ones and those of streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch the response to a request that asks for an answer."""
        answers = scope["type"] == "http" and scope["method"] == "POST"
        if answers and scope["path"].endswith(ANSWERING):
            sizes: Sizes = []
            current_request().image_sizes = sizes
            send = _Response(send, sizes).send
        await self._app(scope, receive, send)


class _Response:
    """One response: JSON is held back until it is complete, an event stream passes through."""

    def __init__(self, send: Send, sizes: Sizes) -> None:
        self._send = send
        self._sizes = sizes
        self._start: Message | None = None
        self._body = b""
        self._is_stream = False
        self._stream = _Stream(sizes)

    async def send(self, message: Message) -> None:
        """Pass a message on, with boxes where an answer ends."""
        if message["type"] == "http.response.start":
            content_type = Headers(raw=message["headers"]).get("content-type", "")
            self._is_stream = "event-stream" in content_type
            if message["status"] == 200 and content_type.startswith("application/json"):
                self._start = message
                return
        elif message["type"] == "http.response.body":
            if self._start is not None:
                self._body += message.get("body", b"")
                if not message.get("more_body", False):
                    await self._send_whole(self._start)
                return
            if self._is_stream:
                message = {**message, "body": self._stream.rewrite(message.get("body", b""))}
        await self._send(message)

    async def _send_whole(self, start: Message) -> None:
        body = self._body
        if any(self._sizes):
            answer = json.loads(body)
            for holder, text in _texts(answer):
                _add_boxes(holder, text, self._sizes)
            body = _dump(answer)
        MutableHeaders(scope=start)["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


class _Stream:
    """The events of one stream, and the text of each choice so far."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._texts: dict[int, str] = {}

    def rewrite(self, events: bytes) -> bytes:
        """``events`` (whole ones) with boxes in those that end an answer."""
        if b"data: {" not in events or not any(self._sizes):
            return events
        return b"\n".join(self._rewrite_line(line) for line in events.split(b"\n"))

    def _rewrite_line(self, line: bytes) -> bytes:
        if not line.startswith(b"data: {"):
            return line
        event = json.loads(line[len(b"data: ") :])
        ended = list(self._ended_texts(event))
        for holder, text in ended:
            _add_boxes(holder, text, self._sizes)
        return b"data: " + _dump(event) if ended else line

    def _ended_texts(self, event: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
        match event:
            case {"choices": list(choices)}:
                for choice in choices:
                    index, piece = choice["index"], choice["delta"].get("content") or ""
                    self._texts[index] = self._texts.get(index, "") + piece
                    if choice.get("finish_reason"):
                        yield choice, self._texts[index]
            case {"type": "content_block_delta", "delta": {"text": str(piece)}}:
                self._texts[0] = self._texts.get(0, "") + piece
            case {"type": "message_delta", "delta": dict(delta)}:
                yield delta, self._texts.get(0, "")
            case {"type": "response.completed" | "response.incomplete", "response": dict(answer)}:
                yield from _texts(answer)


def _texts(answer: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each text of a whole answer, and the object that its boxes belong to."""
    match answer:
        case {"choices": list(choices)}:
            for choice in choices:
                yield choice, choice.get("message", {}).get("content") or ""
        case {"output": list(items)}:
            for item in items:
                for part in item.get("content") or ():
                    if part.get("type") == "output_text":
                        yield part, part["text"]
        case {"type": "message", "content": list(blocks)}:
            for block in blocks:
                if block.get("type") == "text":
                    yield block, block["text"]


def _add_boxes(holder: dict[str, Any], text: str, sizes: Sizes) -> None:
    """Add the boxes of ``text``, which lie in the last image; none where its size is unknown."""
    if (size := sizes[-1]) is not None:
        holder[FIELD] = [
            {"image": len(sizes) - 1, "phrase": box.phrase, "box": list(box.corners)}
            for box in parse_boxes(text, size)
        ]


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
