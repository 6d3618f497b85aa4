"""Requests that the service sends to itself before it is ready.

On a GPU, the first request of a kind compiles kernels for seconds. These requests have an image and
the default sampling, or logprobs and a JSON schema, with several numbers of sequences: Triton
compiles a separate kernel for one sequence and for multiples of 16.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from service.errors import ServiceError
from service.serve.banner import EXAMPLE_IMAGE

SEQUENCES = (1, 3, 16)
TOKENS = 4
PATH = "/v1/chat/completions"
SERVER_ERROR = 500


class WarmUpError(ServiceError):
    """The service cannot answer its own first request."""


def warm_up_bodies(sequences: Sequence[int] = SEQUENCES) -> Iterator[dict[str, Any]]:
    """The bodies of all requests, cheapest first."""
    text = {"type": "text", "text": "What is in this image?"}
    image = {"type": "image_url", "image_url": {"url": EXAMPLE_IMAGE}}
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    constrained = {
        "logprobs": True,
        "top_logprobs": 1,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "warm_up", "schema": schema},
        },
    }
    for number in sequences:
        for content, options in (([image, text], {}), ([text], constrained)):
            yield {
                "messages": [{"role": "user", "content": content}],
                "max_tokens": TOKENS,
                "n": number,
                **options,
            }


async def warm_up(app: ASGIApp, bodies: Iterator[dict[str, Any]]) -> list[str]:
    """Ask ``app``, without the layers around it, and wait for the answers.

    Returns:
        The answers of requests that the operator's flags rule out. They compile nothing for clients
        either.

    Raises:
        WarmUpError: a request failed.
    """
    refused = []
    for body in bodies:
        status, answer = await _post(app, json.dumps(body).encode())
        if status >= SERVER_ERROR:
            raise WarmUpError(f"The first request failed with status {status}: {answer[:500]}")
        if status != 200:
            refused.append(answer)
    return refused


async def _post(app: ASGIApp, body: bytes) -> tuple[int, str]:
    status, parts = 0, []
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return incoming.pop() if incoming else await _never()

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    await app(_scope(len(body)), receive, send)
    return status, b"".join(parts).decode(errors="replace")


async def _never() -> Message:
    """Wait forever, like a client that stays connected."""
    await asyncio.Event().wait()
    raise AssertionError


def _scope(length: int) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(length).encode()),
        ],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        "state": {},
    }
