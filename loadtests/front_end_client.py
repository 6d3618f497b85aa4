"""Clients of :mod:`loadtests.front_end`, which time streams and check the answers.

Each runs in a process of its own. Requests are prepared before the clock starts, and answers are
parsed after the last one has arrived, so that the client's processor time does not limit the
service.
"""

import asyncio
import json
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import aiohttp
import pybase64
import uvloop
from transformers import AutoTokenizer

from loadtests.stubs.numbers import FIRST_TOKEN, LATER_TOKEN, NO_IMAGE, number_of
from loadtests.traffic import conversation, picture
from service.images.decoding import decode_pixels

IMAGE_SIZE = 224


@dataclass
class Request:
    """A body, and the answer that only this body can have."""

    body: bytes
    expected: str


@dataclass
class Outcome:
    """The results of one client's requests.

    Attributes:
        seconds: From the first request to the end of the last answer.
        first_token: Seconds until the first token, for each request.
        finished: When each answer ended, in seconds from the start.
        wrong: Descriptions of answers that are missing, cut or about another image.
    """

    seconds: float = 0.0
    first_token: list[float] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


_prepared: list[Request] = []
"""The requests of this process."""


def prepare(tokenizer: str, tokens: int, images: bool, seed: int, count: int) -> None:
    """Make ``count`` requests for answers of ``tokens`` tokens; each has a new image, or none."""
    load = AutoTokenizer.from_pretrained(tokenizer)
    _prepared[:] = [_make_request(load, tokens, images, seed + n) for n in range(count)]


def _make_request(tokenizer: Any, tokens: int, images: bool, seed: int) -> Request:
    image = picture(seed) if images else None
    messages = conversation(image, 1)
    if not images:
        messages[0]["content"][0]["text"] += f" {seed}"
    body = {
        "model": "model",
        "messages": messages,
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    ids = [_first_token(image)] + [LATER_TOKEN] * (tokens - 1)
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return Request(json.dumps(body).encode(), text.removeprefix(" "))


def _first_token(image: str | None) -> int:
    if image is None:
        return NO_IMAGE
    data = pybase64.b64decode(image.partition(",")[2])
    return FIRST_TOKEN + number_of(decode_pixels(data, IMAGE_SIZE, IMAGE_SIZE**2))


def run(url: str, streams: int, tokens: int) -> Outcome:
    """Send the prepared requests, ``streams`` at a time, each on a connection of its own."""
    return uvloop.run(_run(url, streams, tokens))


async def _run(url: str, streams: int, tokens: int) -> Outcome:
    outcome, waiting = Outcome(), iter(list(_prepared))
    answers: list[tuple[Request, int, bytes]] = []
    begin = monotonic()

    async def user() -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            while (request := next(waiting, None)) is not None:
                answers.append(await _ask(session, url, request, outcome, begin))

    await asyncio.gather(*(user() for _ in range(streams)))
    outcome.seconds = monotonic() - begin
    for request, status, raw in answers:
        if problem := _check(request, status, raw, tokens):
            outcome.wrong.append(problem)
    return outcome


async def _ask(
    session: aiohttp.ClientSession, url: str, request: Request, outcome: Outcome, begin: float
) -> tuple[Request, int, bytes]:
    sent, first, chunks = monotonic(), 0.0, []
    headers = {"Content-Type": "application/json"}
    try:
        async with session.post(url, data=request.body, headers=headers) as response:
            async for chunk in response.content.iter_any():
                chunks.append(chunk)
                # The first event only names the role.
                if not first and b"data: " in chunk and b'"role"' not in chunk:
                    first = monotonic() - sent
            status = response.status
    except aiohttp.ClientError as error:
        return request, 0, repr(error).encode()
    outcome.first_token.append(first)
    outcome.finished.append(monotonic() - begin)
    return request, status, b"".join(chunks)


def _check(request: Request, status: int, raw: bytes, tokens: int) -> str | None:
    if status != 200:
        return f"status {status}: {raw[:200]!r}"
    lines = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]
    if not lines or lines[-1] != b"[DONE]":
        return f"an answer was cut: {raw[-200:]!r}"
    text, used = "", 0
    for line in lines[:-1]:
        event = json.loads(line)
        if "error" in event:
            return f"an answer ended with an error: {line!r}"
        used = (event.get("usage") or {}).get("completion_tokens", used)
        for choice in event["choices"]:
            text += choice["delta"].get("content") or ""
    if used != tokens:
        return f"{used} tokens instead of {tokens}"
    if text != request.expected:
        return f"another image's answer: {text[:60]!r} instead of {request.expected[:60]!r}"
    return None
