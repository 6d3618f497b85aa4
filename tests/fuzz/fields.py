"""Send good requests with one or two odd fields, which pass the first validation.

``python -m tests.fuzz.fields URL`` tries each field of each body with each odd value, then pairs of
fields, and prints the figures as JSON.
"""

import argparse
import copy
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import httpx

from tests.fuzz.api import TIMEOUT
from tests.pictures import picture_uri

TEXT = {"type": "text", "text": "What is this?"}
MESSAGES = [
    {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": picture_uri()}}, TEXT],
    }
]
BASES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 2},
    "/v1/completions": {"prompt": "What is this?", "max_tokens": 2},
    "/v1/responses": {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": picture_uri()},
                    {"type": "input_text", "text": "What is this?"},
                ],
            }
        ],
        "max_output_tokens": 2,
    },
    "/v1/messages": {"messages": [{"role": "user", "content": "What?"}], "max_tokens": 2},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "What?"}]},
    "/tokenize": {"prompt": "What is this?"},
    "/detokenize": {"tokens": [1, 2, 3]},
    "/v1/image_embeddings": {"input": MESSAGES[0]["content"][:1]},
}
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 17, 2**31, 2**63, -(2**63), 10**30),
    *(0.5, -0.5, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf),
    *(
        "",
        "x",
        "\0",
        "\ud800",
        "a" * 5000,
        "\U0001d54f\u202e",
        "auto",
        "none",
        "required",
        "json_object",
    ),
    *([], [0], [-1], [2**40], [None], ["x"], [""], [[]], [{}], ["x"] * 500, list(range(500))),
    *({}, {"": 0}, {"x": "y"}, {"0": 100}, {"-1": 1}, {"999999": 1}, {"1": 1e300}),
    *({"type": "json_object"}, {"type": "json_schema"}, {"type": "x"}, {"type": "text"}),
    {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}},
    {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#"}}},
    {"type": "structural_tag", "structures": [], "triggers": []},
    {"type": "structural_tag", "format": {}},
    {"regex": "(" * 50},
    {"regex": "a{1000000}"},
    {"regex": ""},
    {"grammar": "x"},
    {"choice": []},
    {"choice": ["a", "a"]},
    {"json": "{"},
    {"json": {"type": "array", "minItems": 10**9}},
    {"json_object": True},
    {"structural_tag": "{}"},
    {"type": "function", "function": {"name": "x"}},
    [{"type": "function", "function": {"name": "x", "parameters": {}}}],
    [{"type": "function", "name": "x", "parameters": {"type": 5}}],
    [{"role": "user", "content": "Hi."}],
    [{"role": "tool", "content": None, "tool_call_id": "x"}],
    [{"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "{"}}]}],
    [{"role": "assistant", "content": "x", "tool_calls": [{}]}],
    [{"role": "x" * 99, "content": [{}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}]}],
    [{"role": "user", "content": [{"type": "text", "text": None}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "\ud800"}}]}],
    [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}],
    [{"type": "message", "role": "user", "content": [{"type": "input_image", "detail": "x"}]}],
    [{"type": "function_call_output", "call_id": "x", "output": "y"}],
    [{"type": "function_call", "call_id": "x", "name": "y", "arguments": "{"}],
    [{"type": "reasoning", "id": "x", "summary": []}],
    [{"type": "item_reference", "id": "x"}],
]
# These values would make a request long, not wrong.
ENDLESS = frozenset({"ignore_eos", "min_tokens"})

Request = tuple[str, dict[str, Any]]


# Anthropic's routes require the model's name.
NAMED = frozenset({"/v1/messages", "/v1/messages/count_tokens"})


def base(path: str, model: str) -> dict[str, Any]:
    """Return a good body for a route."""
    body = copy.deepcopy(BASES[path])
    return {**body, "model": model} if path in NAMED else body


def single_fields(schema: dict[str, Any], model: str) -> Iterator[Request]:
    """Yield bodies with each field, and with an unknown field, for each odd value."""
    for path in BASES:
        for name in [*_fields(schema, path), "unheard_of"]:
            for value in ODD:
                yield path, {**base(path, model), name: value}


def pairs(schema: dict[str, Any], model: str, seed: int) -> Iterator[Request]:
    """Yield good bodies with two to four odd fields, without end."""
    generator = random.Random(seed)
    fields = {path: _fields(schema, path) for path in BASES}
    while True:
        path = generator.choice(list(BASES))
        body = base(path, model)
        for _ in range(generator.randint(2, 4)):
            body[generator.choice(fields[path])] = copy.deepcopy(generator.choice(ODD))
        yield path, body


def _fields(schema: dict[str, Any], path: str) -> list[str]:
    body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    names: set[str] = set()
    for part in body.get("anyOf", [body]):
        target = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
        names |= target["properties"].keys()
    return sorted(names - ENDLESS)


def send(client: httpx.Client, request: Request) -> str:
    """Return the status of the answer, or ``none``. After a 200, read the stream to its end."""
    path, body = request
    content = json.dumps(body).encode()
    try:
        with client.stream(
            "POST", path, content=content, headers={"Content-Type": "application/json"}
        ) as answer:
            text = answer.read()
    except httpx.HTTPError as error:
        return f"none: {error!r}"
    # There is only one request at a time, so 503 is a failure as well.
    failed = answer.status_code >= 500
    return f"{answer.status_code}: {text[:300]!r}" if failed else str(answer.status_code)


def main() -> None:
    """Try all bodies; exit with 1 after a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=int, default=200, help="after so many, give up")
    parser.add_argument("--only", default="", help="paths that contain this")
    arguments = parser.parse_args()
    statuses: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    with httpx.Client(base_url=arguments.url, timeout=TIMEOUT) as client:
        schema = client.get("/openapi.json").json()
        model = client.get("/v1/models").json()["data"][0]["id"]
        requests = [
            *single_fields(schema, model),
            *islice(pairs(schema, model, arguments.seed), arguments.pairs),
        ]
        for request in requests:
            if arguments.only in request[0] and len(failures) < arguments.failures:
                status = send(client, request)
                statuses[f"{request[0]} {status[:4]}"] += 1
                if len(status) > 3:
                    failures.append({"request": request, "answer": status})
                    print(status[:200], repr(request)[:300], file=sys.stderr, flush=True)
    print(json.dumps({"requests": statuses.total(), "statuses": statuses, "failures": failures}))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
