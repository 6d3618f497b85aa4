"""Generated requests, odd fields and damaged pictures are served or clearly refused."""

import random
from itertools import islice

import httpx
import pytest

from tests.fuzz.api import fuzz, operations
from tests.fuzz.fields import pairs, send, single_fields
from tests.fuzz.pictures import mutate, originals
from tests.pictures import data_uri, encoded, picture
from tests.server import ServerProcess

EXAMPLES = 8
FIELDS = 300
PICTURES = 300


def test_no_request_made_from_the_schema_fails(server: ServerProcess) -> None:
    statuses = 0
    for operation in operations(server.url):
        outcome = fuzz(operation, EXAMPLES)
        assert not outcome.failures
        statuses += outcome.statuses.total()
    assert statuses > 100
    assert_still_serving(server)


def test_no_odd_field_fails(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        schema = client.get("/openapi.json").json()
        model = client.get("/v1/models").json()["data"][0]["id"]
        known = list(single_fields(schema, model))
        chosen = random.Random("odd fields").sample(known, FIELDS)
        seen = set()
        for request in [*chosen, *islice(pairs(schema, model, 0), FIELDS)]:
            status = send(client, request)
            assert len(status) == 3, (status, request)
            seen.add(status)
    assert {"200", "400"} <= seen, "the requests must get past validation, and fail it"
    assert_still_serving(server)


FATAL = {
    "a list without end": {"json": {"type": "array", "minItems": 10**9}},
    "a schema that is only itself": {"json": {"$ref": "#"}},
    "a rule that is only itself": {"grammar": "root ::= root"},
    "a text without end": {"regex": "a{1000000000}"},
    "nesting without end": {"json": '{"items":' * 2000 + "{}" + "}" * 2000},
    "no object": True,
}


@pytest.mark.parametrize("name", FATAL)
@pytest.mark.parametrize("stream", [False, True])
def test_requests_that_once_ended_the_process(
    server: ServerProcess, name: str, stream: bool
) -> None:
    body = {
        "messages": [{"role": "user", "content": "What?"}],
        "structured_outputs": FATAL[name],
        "max_tokens": 4,
        "stream": stream,
    }
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    # The stream has begun before the engine finds that no token is allowed.
    assert answer.status_code == 400 or (stream and '"code":400' in answer.text.replace(" ", ""))
    assert_still_serving(server)


@pytest.mark.parametrize(
    "text",
    [r'"\ud800"', "NaN", "-Infinity", "1e999", "9" * 30, '"x": 1, "x": 1e999', r'["\udfff"]'],
)
def test_json_that_parsers_read_differently(server: ServerProcess, text: str) -> None:
    body = f'{{"messages": [{{"role": "user", "content": "Hi."}}], "seed": {text}}}'
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_prompt_is_not_cut_through_an_image(server: ServerProcess) -> None:
    part = {"type": "image_url", "image_url": {"url": data_uri(encoded(picture()))}}
    body = {"messages": [{"role": "user", "content": [part]}], "truncate_prompt_tokens": 2}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "truncate_prompt_tokens"


def test_damaged_pictures_over_http(server: ServerProcess) -> None:
    """A damaged file is served if it can still be decoded, and refused otherwise."""
    generator, files = random.Random("pictures over HTTP"), originals()
    seen = set()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for _ in range(PICTURES):
            data = mutate(generator, files)
            part = {"type": "image_url", "image_url": {"url": data_uri(data)}}
            body = {"messages": [{"role": "user", "content": [part]}], "max_tokens": 1}
            status = client.post("/v1/chat/completions", json=body).status_code
            assert status in (200, 400)
            seen.add(status)
    assert seen == {200, 400}, "some must be readable and some not"
    assert_still_serving(server)


HEADERS = {
    "many": [(f"X-{number}", "y") for number in range(2000)],
    "long": [("X-Long", "y" * 1_000_000)],
    "a long name": [("X" * 1_000_000, "y")],
    "a long request id": [("X-Request-Id", "y" * 10_000)],
    "an odd request id": [("X-Request-Id", "a\tb<script>")],
    "an odd length": [("Content-Length", "-1")],
    "an odd deadline": [("X-Request-Timeout", "1e309")],
    "an odd type": [("Content-Type", "application/json; charset=\xff")],
    "an odd trace": [("traceparent", "00-" + "z" * 99)],
}


@pytest.mark.parametrize("name", HEADERS)
def test_odd_headers(server: ServerProcess, name: str) -> None:
    """The service refuses, disconnects or ignores; it does not fail."""
    headers = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in HEADERS[name]]
    body = b'{"messages": [{"role": "user", "content": "Hi."}], "max_tokens": 1}'
    try:
        answer = httpx.post(
            f"{server.url}/v1/chat/completions", content=body, headers=headers, timeout=30
        )
    except httpx.TransportError:
        pass  # the server has closed the connection before it read everything
    else:
        assert answer.status_code < 500
    assert_still_serving(server)


def assert_still_serving(server: ServerProcess) -> None:
    body = {"messages": [{"role": "user", "content": "Hi."}], "max_tokens": 1}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200
