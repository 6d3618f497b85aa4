"""A service for several teams: keys, isolation, deadlines, limits, overload, logs and traces."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from service.api.keys_command import add_key, set_limits
from service.engine.constraints import MAX_CHARACTERS
from service.model_folder.layout import ModelFolder
from service.usage.amounts import NO_LIMITS, KeyLimits
from tests.collector import Collector, collector
from tests.pictures import picture_uri
from tests.server import ServerProcess

SECRET = "xylophone"
"""Text of a prompt that must not appear in a log."""

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    return file, {name: add_key(name, file) for name in ("alice", "bob")}


@pytest.fixture(scope="module")
def shared(
    tiny_model: Callable[[str], ModelFolder],
    server: ServerProcess,
    keys: tuple[Path, dict[str, str]],
    traces: Collector,
) -> Iterator[ServerProcess]:
    """A service that several teams share, with low limits."""
    process = ServerProcess(
        tiny_model("minigpt4-vicuna").root,
        [
            *("--dtype", "float32", "--isolate-keys", "true", "--log-format", "json"),
            *("--api-keys-file", str(keys[0]), "--otlp-traces-endpoint", traces.url),
            *("--max-num-seqs", "4", "--max-num-queued-reqs", "20"),
            "--disable-fastapi-docs",
        ],
        {
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            # Python and the libraries print all their messages, without loggers.
            "PYTHONWARNINGS": "default",
        },
    )
    try:
        yield process.start()
    finally:
        process.stop()


def ask(client: openai.OpenAI, text: str = "What is it?", **options: Any) -> Any:
    parts = [
        {"type": "image_url", "image_url": {"url": picture_uri("red")}},
        {"type": "text", "text": text},
    ]
    options = {"max_tokens": 4, "temperature": 0, **options}
    messages: Any = [{"role": "user", "content": parts}]
    return client.chat.completions.create(model="minigpt4-vicuna", messages=messages, **options)


@pytest.fixture(scope="module")
def alice(shared: ServerProcess, keys: tuple[Path, dict[str, str]]) -> openai.OpenAI:
    return shared.openai(api_key=keys[1]["alice"])


def test_without_a_key_only_probes_are_answered(
    shared: ServerProcess, alice: openai.OpenAI
) -> None:
    with pytest.raises(openai.AuthenticationError):
        shared.openai(api_key="wrong").models.list()
    assert alice.models.list().data
    for path in ("/health", "/ready", "/metrics", "/version"):
        assert httpx.get(shared.url + path).status_code == 200
    for path in ("/docs", "/openapi.json"):
        assert httpx.get(shared.url + path).status_code == 404, "turned off by a flag"
    ask(alice)
    assert shared.metric("minigpt4_requests_total", key="alice", status="200") >= 2
    assert shared.metric("minigpt4_requests_rejected_total", reason="unauthorized") == 1


def test_a_key_does_not_use_the_caches_of_another_key(
    shared: ServerProcess, keys: tuple[Path, dict[str, str]]
) -> None:
    text = "A question that is long enough to fill more than one block of the cache. " * 3

    def cached(name: str) -> int:
        usage = ask(shared.openai(api_key=keys[1][name]), text).usage
        return int(usage.prompt_tokens_details.cached_tokens)

    cached("alice")
    assert cached("alice") > 0
    encoded = shared.metric("minigpt4_encoder_images_total", outcome="encoded")
    assert cached("bob") == 0
    assert shared.metric("minigpt4_encoder_images_total", outcome="encoded") == encoded + 1
    assert cached("bob") > 0
    assert shared.metric("minigpt4_encoder_images_total", outcome="encoded") == encoded + 1


def test_a_deadline_removes_the_request_from_the_engine(
    shared: ServerProcess, alice: openai.OpenAI
) -> None:
    options: dict[str, Any] = {
        "max_tokens": 1500,
        "extra_body": {"ignore_eos": True},
        "n": 4,
        "temperature": 1,
    }
    hurry = alice.with_options(default_headers={"X-Request-Timeout": "0.5"})
    with pytest.raises(openai.APIStatusError) as late:
        ask(hurry, **options)
    assert late.value.status_code == 504
    wait_until(lambda: shared.metric("vllm:num_requests_running") == 0)

    with pytest.raises(openai.APIError, match="longer than"):
        for _ in ask(hurry, stream=True, **options):
            pass
    wait_until(lambda: shared.metric("vllm:num_requests_running") == 0)


@pytest.fixture
def carol(shared: ServerProcess, keys: tuple[Path, dict[str, str]]) -> openai.OpenAI:
    """A key that is added while the service runs."""
    if "carol" not in keys[1]:
        keys[1]["carol"] = add_key("carol", keys[0])
    client = shared.openai(api_key=keys[1]["carol"])
    wait_until(lambda: knows(client))
    return client


def knows(client: openai.OpenAI) -> bool:
    try:
        client.models.list()
    except openai.AuthenticationError:
        return False
    return True


def usage(client: openai.OpenAI) -> dict[str, Any]:
    return dict(client.get("/usage", cast_to=dict[str, Any]))


def test_a_key_is_charged_for_what_it_used(shared: ServerProcess, carol: openai.OpenAI) -> None:
    answer = ask(carol, n=2, temperature=1, max_tokens=5, extra_body={"ignore_eos": True})
    chunks = list(ask(carol, stream=True, stream_options={"include_usage": True}))
    used = usage(carol)
    assert used["key"] == "carol"
    assert used["input_tokens"] == answer.usage.prompt_tokens + chunks[-1].usage.prompt_tokens
    answered = answer.usage.completion_tokens + chunks[-1].usage.completion_tokens
    assert used["output_tokens"] == answered > 2
    assert used["images"] == 2
    assert used["encoder_seconds"] > 0
    assert used["engine_seconds"] > 0
    assert used["bytes_received"] > 0
    assert used["bytes_sent"] > 0
    for direction in ("input", "output"):
        counted = shared.metric("minigpt4_key_tokens_total", key="carol", direction=direction)
        assert counted == used[f"{direction}_tokens"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_aborted_answer_is_charged_as_far_as_it_came(
    shared: ServerProcess, carol: openai.OpenAI, stream: bool
) -> None:
    before = usage(carol)
    options: dict[str, Any] = {
        "max_tokens": 1500,
        "extra_body": {"ignore_eos": True},
        "n": 4,
        "temperature": 1,
    }
    if stream:
        answer = ask(carol, stream=True, **options)
        for _ in zip(range(5), answer, strict=False):
            pass
        answer.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            ask(carol.with_options(timeout=1.5), **options)
    wait_until(lambda: usage(carol)["output_tokens"] > before["output_tokens"])
    wait_until(lambda: shared.metric("vllm:num_requests_running") == 0)
    assert usage(carol)["output_tokens"] - before["output_tokens"] < 4 * 1500


def test_limits_in_the_file_apply_while_the_service_runs(
    carol: openai.OpenAI, keys: tuple[Path, dict[str, str]]
) -> None:
    set_limits("carol", keys[0], KeyLimits(tokens_per_minute=20, models=frozenset({"another"})))
    wait_until(lambda: usage(carol)["limits"]["tokens_per_minute"] == 20)
    with pytest.raises(openai.PermissionDeniedError, match="minigpt4-vicuna"):
        ask(carol)
    assert carol.models.list().data == []
    set_limits("carol", keys[0], KeyLimits(tokens_per_minute=20))
    wait_until(lambda: usage(carol)["limits"]["models"] is None)
    raw = carol.chat.completions.with_raw_response.create(
        model="minigpt4-vicuna", messages=[{"role": "user", "content": "Hello."}], max_tokens=50
    )
    assert raw.headers["x-ratelimit-limit-tokens"] == "20"
    with pytest.raises(openai.RateLimitError) as refusal:
        ask(carol)
    assert int(refusal.value.response.headers["retry-after"]) > 0
    assert refusal.value.response.headers["x-ratelimit-remaining-tokens"] == "0"
    set_limits("carol", keys[0], NO_LIMITS)
    wait_until(lambda: usage(carol)["limits"]["tokens_per_minute"] is None)
    ask(carol)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"n": 17}, None),
        ({"stop": ["a", "b", "c", "d", "e"]}, None),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
            "r",
        ),
        ({"extra_body": {"structured_outputs": {"regex": "("}}}, "r"),
        ({"extra_body": {"structured_outputs": {"grammar": "nonsense ::="}}}, "r"),
        ({"extra_body": {"structured_outputs": {"choice": ["a" * MAX_CHARACTERS]}}}, "r"),
    ],
)
def test_impossible_constraints_are_refused_before_a_stream_begins(
    alice: openai.OpenAI, options: dict[str, Any], parameter: str | None, stream: bool
) -> None:
    if "response_format" in options:
        options["response_format"]["json_schema"]["name"] = "x"
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(alice, stream=stream, **options)
    if parameter:
        assert refusal.value.param == "response_format"
    assert "/" not in str(refusal.value.body), "the text comes from a library"


def test_overload_is_refused_at_once_and_the_others_are_served(alice: openai.OpenAI) -> None:
    """Four requests run, twenty wait, and the service refuses the others with Retry-After."""
    begun = threading.Barrier(40)

    def one(number: int) -> tuple[int, float, Any]:
        begun.wait()
        start = time.monotonic()
        try:
            ask(alice, f"Question {number}?", max_tokens=200, extra_body={"ignore_eos": True})
        except openai.APIStatusError as error:
            return error.status_code, time.monotonic() - start, error.response.headers
        return 200, time.monotonic() - start, {}

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(one, range(40)))
    served = [seconds for status, seconds, _ in answers if status == 200]
    refused = [(seconds, headers) for status, seconds, headers in answers if status == 503]
    assert len(served) + len(refused) == 40
    assert len(served) >= 20
    assert refused
    assert all(int(headers["retry-after"]) > 0 for _, headers in refused)
    assert max(seconds for seconds, _ in refused) < max(served)


def test_a_trace_reaches_from_the_request_to_the_last_token(
    alice: openai.OpenAI, traces: Collector
) -> None:
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    ask(alice.with_options(default_headers={"traceparent": parent}))
    names = {"POST /v1/chat/completions", "image.fetch", "image.encode", "llm_request"}
    spans = {span.name: span for span in traces.wait_for(TRACE, names, 20)}
    request = spans["POST /v1/chat/completions"]
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    for name in names - {request.name}:
        assert spans[name].parent_span_id == request.span_id, name


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses", "messages"])
def test_a_clients_mistake_is_not_an_error_in_the_log(
    shared: ServerProcess, keys: tuple[Path, dict[str, str]], path: str, stream: bool
) -> None:
    headers = {"Authorization": f"Bearer {keys[1]['alice']}"}
    hello = [{"role": "user", "content": "Hello."}]
    text = {"messages": hello, "prompt": "Hello.", "input": "Hello.", "max_tokens": 4}
    if path == "responses":
        text.pop("messages")
    for wrong in (
        {"model": "nobody"},
        {"model": "minigpt4-vicuna", "temperature": -1},
        {"model": "minigpt4-vicuna", "max_tokens": 10**6, "max_output_tokens": 10**6, "top_p": 7},
    ):
        body = {**text, **wrong, "stream": stream}
        answer = httpx.post(f"{shared.url}/v1/{path}", json=body, headers=headers, timeout=60)
        assert 400 <= answer.status_code < 500, answer.text
    wait_until(lambda: sum(f"/v1/{path}' 4" in line for line in shared.log) >= 3)
    # Earlier tests may have left lines of intended failures.
    errors = [line for line in shared.log if '"levelname": "ERROR"' in line]
    assert not errors


def test_every_line_is_json_and_has_no_content_of_requests(
    shared: ServerProcess, alice: openai.OpenAI, keys: tuple[Path, dict[str, str]]
) -> None:
    headers = {"X-Request-Id": "the-last-one"}
    ask(alice.with_options(default_headers=headers), f"Is it a {SECRET}?")
    with pytest.raises(openai.BadRequestError):
        ask(alice, SECRET, response_format={"type": "json_object"}, n=17)
    wait_until(lambda: any("the-last-one" in line for line in shared.log))
    records = [json.loads(line) for line in list(shared.log)]
    text = "".join(shared.log)
    assert SECRET not in text
    assert "base64" not in text.replace(READY_EXAMPLE, "")
    assert not any(key in text for key in keys[1].values())
    (access,) = [line for line in records if line.get("request_id") == "the-last-one"]
    assert access["key"] == "alice"
    assert access["message"] == "POST '/v1/chat/completions' 200"


READY_EXAMPLE = "data:image/png;base64,iVBORw0KGgo"
"""The curl line that is printed at the start."""


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
