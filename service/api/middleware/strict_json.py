"""Refuses JSON that parsers understand differently (I-JSON, RFC 7493).

Python's parser accepts more than the standard: NaN, numbers that overflow a float, lone surrogates,
and encodings other than UTF-8. Such values pass validation and fail much later, in tokenizers,
native code or another process.
"""

import asyncio
import json
import math
import re
from typing import NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.error_responses import send_error
from service.api.middleware.read_ahead import read_ahead

SURROGATES = re.compile(rb"\\u[dD]"), re.compile(rb"\xed[\xa0-\xbf]")
"""A body that matches neither expression has no lone surrogate. A search in each decoded text would
be slow, and one expression for both forms as well."""

MAX_COMMAS = 2 << 20
"""A body has about as many values as commas. The largest body could have 30 million values: to
parse them takes gibibytes and stops all streams for seconds. The limit allows the embeddings of two
images as numbers in each family; as safetensors they are one value."""

MAX_BRACKETS = 1 << 15
"""Limit of opening brackets and braces, on which validation spends most of its time. A conversation
has four for each image; a schema (:mod:`service.engine.constraints`) has some thousands."""

EVENT_LOOP_COMMAS = 1 << 12
"""Up to this many commas, parsing takes milliseconds and runs on the event loop; otherwise it runs
on a thread."""

MESSAGE = (
    "The body's JSON must be UTF-8 without a byte order mark, with finite numbers, whole ones "
    "of 64 bits at "
    f"most, valid Unicode, and at most {MAX_COMMAS} commas and {MAX_BRACKETS} opening brackets."
)


class StrictJson:
    """ASGI layer: 400 for a JSON body that parsers understand differently."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of a JSON request, check it, and hand it on."""
        http = scope["type"] == "http"
        content_type = Headers(scope=scope).get("content-type", "") if http else ""
        if "json" not in content_type.lower():
            await self._app(scope, receive, send)
            return
        if (arrived := await read_ahead(receive)) is None:
            return
        body, replay = arrived
        if body.count(b",") > EVENT_LOOP_COMMAS:
            strict = await asyncio.to_thread(is_strict, body)
        else:
            strict = is_strict(body)
        del arrived, body  # otherwise the body would stay in memory until the response has ended
        if strict:
            await self._app(scope, replay, send)
        else:
            await send_error(send, 400, MESSAGE)


def is_strict(body: bytes) -> bool:
    """Return whether ``body`` is strict JSON, or not JSON: then the route has a better message."""
    if json.detect_encoding(body) != "utf-8":  # the encoding that Python's parser would choose
        return False
    if body.count(b",") > MAX_COMMAS or body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        return False
    try:
        value = json.loads(
            body, parse_constant=_refuse, parse_int=_parse_int, parse_float=_parse_float
        )
        if any(surrogate.search(body) for surrogate in SURROGATES):
            json.dumps(value, ensure_ascii=False).encode()
    except (_NotStrictError, UnicodeEncodeError):
        return False
    except (ValueError, RecursionError):
        pass
    return True


class _NotStrictError(Exception):
    """Not a ValueError, because broken JSON raises ValueError."""


def _refuse(_: str) -> NoReturn:
    raise _NotStrictError


def _parse_int(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise _NotStrictError
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _NotStrictError
    return number
