"""JSON as everybody understands it (I-JSON, RFC 7493), before anything reads it otherwise.

Python's reader takes more: NaN, numbers beyond any float, halves of UTF-16 pairs, encodings other than
UTF-8, which it guesses. These get through
validation and fail much later, in tokenizers, native code or another process.
"""

import asyncio
import json
import math
import re
from typing import NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.error_responses import error_body
from service.api.lifecycle import respond
from service.api.middleware.read_ahead import read_ahead

HALF_PAIRS = re.compile(rb"\\u[dD]"), re.compile(rb"\xed[\xa0-\xbf]")
"""Without either, a body has no half of a UTF-16 pair; looking for one in each text is slow, and so is
one expression for both."""

MAX_VALUES = 2 << 20
"""Commas at most: about as many values are there. A body of the largest size has room for 30 million, whose
reading takes gibibytes and stops all streams for seconds. Two images' embeddings as numbers fit for every
family; as safetensors they are one value."""

MAX_OBJECTS = 1 << 15
"""Brackets and braces that open, at most: what validation spends most on. Conversations have four for an
image and bounded schemas (:mod:`service.engine.constraints`) some thousands."""

QUICK_VALUES = 1 << 12
"""Commas up to which reading takes the event loop milliseconds; beyond, a thread does it."""

MESSAGE = (
    "The body's JSON must be UTF-8 without a byte order mark, with finite numbers, whole ones of 64 bits at "
    f"most, valid Unicode, and at most {MAX_VALUES} commas and {MAX_OBJECTS} opening brackets."
)


class StrictJson:
    """ASGI layer: 400 for a JSON body with values that not every reader understands."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of a JSON request, look at it, and hand it on."""
        content_type = (
            Headers(scope=scope).get("content-type", "") if scope["type"] == "http" else ""
        )
        if "json" not in content_type.lower():
            await self._app(scope, receive, send)
            return
        if (arrived := await read_ahead(receive)) is None:
            return
        body, again = arrived
        if body.count(b",") > QUICK_VALUES:
            strict = await asyncio.to_thread(is_strict, body)
        else:
            strict = is_strict(body)
        del arrived, body  # or the body would be kept as long as the answer takes
        if not strict:
            await respond(send, 400, error_body(MESSAGE, "BadRequestError", 400))
            return
        await self._app(scope, again, send)


def is_strict(body: bytes) -> bool:
    """Whether ``body`` is either strict or no JSON at all, which its reader will say better."""
    if json.detect_encoding(body) != "utf-8":  # what it would be read as
        return False
    if body.count(b",") > MAX_VALUES or body.count(b"[") + body.count(b"{") > MAX_OBJECTS:
        return False
    try:
        value = json.loads(
            body, parse_constant=_refuse, parse_int=_whole_number, parse_float=_finite_number
        )
        if any(half.search(body) for half in HALF_PAIRS):
            json.dumps(value, ensure_ascii=False).encode()
    except (_NotStrictError, UnicodeEncodeError):
        return False
    except (ValueError, RecursionError):
        pass
    return True


class _NotStrictError(Exception):
    """Not a ValueError: those are broken JSON."""


def _refuse(_: str) -> NoReturn:
    raise _NotStrictError


def _whole_number(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise _NotStrictError
    return int(digits)


def _finite_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _NotStrictError
    return number
