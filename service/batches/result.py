"""The result of a line, and its text in the output or the error file."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

from service.batches.record import Counts, Usage


@dataclass(frozen=True)
class LineResponse:
    """The response to one line's request.

    Attributes:
        body: JSON.
        retry_after: Seconds to wait before the request is sent again; None for a final response.
        interrupted: Whether the service failed while it ran the request, which may be the cause.
    """

    status: int
    request_id: str
    body: bytes
    retry_after: float | None = None
    interrupted: bool = False


@dataclass(frozen=True)
class Result:
    """A finished line.

    Attributes:
        completed: Whether it belongs to the output file; otherwise to the error file.
        text: Its line there, without the line break.
    """

    custom_id: str
    completed: bool
    text: bytes
    usage: dict[str, Any] | None = None


def from_response(custom_id: str, response: LineResponse) -> Result:
    """The result of a response. Parses the body, which may have a mebibyte: call it on a thread."""
    try:
        body = json.loads(response.body)
    except ValueError:
        body = response.body.decode(errors="replace")
    response_object = {
        "status_code": response.status,
        "request_id": response.request_id,
        "body": body,
    }
    usage = body.get("usage") if isinstance(body, dict) else None
    completed = response.status < 400
    return Result(custom_id, completed, _line(custom_id, response_object, None), usage)


def from_error(custom_id: str, code: str, message: str) -> Result:
    """The result of a line that has no response."""
    error = {"code": code, "message": message}
    return Result(custom_id, completed=False, text=_line(custom_id, None, error))


def _line(custom_id: str, response: dict[str, Any] | None, error: dict[str, str] | None) -> bytes:
    line = {
        "id": f"batch_req_{secrets.token_hex(16)}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }
    return json.dumps(line, separators=(",", ":")).encode()


def count(counts: Counts, usage: Usage, result: Result) -> None:
    """Add a result to the counts and the usage."""
    if not result.completed:
        counts.failed += 1
        return
    counts.completed += 1
    if not isinstance(result.usage, dict):
        return
    # Chat and completions name them after OpenAI's first API, responses after its latest.
    given = result.usage
    prompt = _number(given, "prompt_tokens", "input_tokens")
    answer = _number(given, "completion_tokens", "output_tokens")
    details = given.get("prompt_tokens_details") or given.get("input_tokens_details") or {}
    usage.input_tokens += prompt
    usage.output_tokens += answer
    usage.total_tokens += prompt + answer
    usage.input_tokens_details.cached_tokens += _number(details, "cached_tokens")


def _number(fields: Any, *names: str) -> int:
    if isinstance(fields, dict):
        for name in names:
            if isinstance(value := fields.get(name), int):
                return value
    return 0
