"""Batches through a real service: with OpenAI's client, and across kills and drains."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from openai.types import Batch

from service.api.keys_command import add_key
from service.batches.record import FINISHED
from tests.pictures import encoded, picture, picture_uri
from tests.server import ServerProcess

CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
IMAGE = {"type": "image_url", "image_url": {"url": picture_uri()}}
QUESTION = [{"role": "user", "content": [IMAGE, {"type": "text", "text": "What is this?"}]}]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": QUESTION, "max_tokens": 4},
    "/v1/responses": {"input": "Hello.", "max_output_tokens": 4},
    "/v1/completions": {"prompt": "Hello.", "max_tokens": 4},
    "/v1/image_embeddings": {"input": [IMAGE]},
}
LONG = {"messages": QUESTION, "max_tokens": 60, "ignore_eos": True}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    return file, {name: add_key(name, file) for name in ("alice", "bob")}


@pytest.fixture(scope="module")
def make_server(
    keys: tuple[Path, dict[str, str]],
) -> Callable[[Path], ServerProcess]:
    def make(files: Path) -> ServerProcess:
        flags = ["--api-keys-file", str(keys[0]), "--files-dir", str(files), "--log-format", "json"]
        return ServerProcess(Path("default"), [*flags, "--page", "false"])

    return make


@pytest.fixture(scope="module")
def batch_server(
    make_server: Callable[[Path], ServerProcess], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    process = make_server(tmp_path_factory.mktemp("files"))
    try:
        yield process.start()
    finally:
        process.stop()


@pytest.fixture(scope="module")
def alice(batch_server: ServerProcess, keys: tuple[Path, dict[str, str]]) -> openai.OpenAI:
    return batch_server.openai(api_key=keys[1]["alice"])


def create(
    client: openai.OpenAI,
    bodies: list[dict[str, Any]],
    endpoint: Any = CHAT,
    window: Any = "24h",
    **options: Any,
) -> Batch:
    lines = [
        {"custom_id": str(number), "method": "POST", "url": endpoint, "body": body}
        for number, body in enumerate(bodies)
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window=window, **options
    )


def wait(client: openai.OpenAI, batch: Batch, seconds: float = 120) -> Batch:
    deadline = time.monotonic() + seconds
    while (batch := client.batches.retrieve(batch.id)).status not in FINISHED:
        assert time.monotonic() < deadline, batch
        time.sleep(0.1)
    return batch


def read(client: openai.OpenAI, file_id: str | None) -> dict[str, Any]:
    assert file_id is not None
    lines = client.files.content(file_id).text.splitlines()
    found = {line["custom_id"]: line for line in map(json.loads, lines)}
    assert len(found) == len(lines), "a line stands twice"
    return found


def count_lines(server: ServerProcess, batch: Batch) -> int:
    """Lines of a batch that this process of the service has answered, by its access log."""
    return sum(batch.id in line and '"POST' in line for line in server.log)


@pytest.mark.parametrize("endpoint", BODIES)
def test_every_endpoint(alice: openai.OpenAI, endpoint: str) -> None:
    done = wait(alice, create(alice, [BODIES[endpoint]] * 3, endpoint, metadata={"a": "b"}))
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed) == (3, 3)
    assert done.usage is not None
    assert done.usage.total_tokens > 0
    assert done.error_file_id is None
    assert done.metadata == {"a": "b"}
    output = read(alice, done.output_file_id)
    assert sorted(output) == ["0", "1", "2"]
    assert output["0"]["response"]["status_code"] == 200
    assert output["0"]["response"]["request_id"]
    assert output["0"]["response"]["body"]["object"]


def test_answers_are_those_of_requests(alice: openai.OpenAI) -> None:
    body: dict[str, Any] = {**BODIES[CHAT], "temperature": 0.0, "max_tokens": 20}
    done = wait(alice, create(alice, [body]))
    line = read(alice, done.output_file_id)["0"]
    model = alice.models.list().data[0].id
    direct = alice.chat.completions.create(model=model, **body)
    assert line["response"]["body"]["choices"][0]["message"]["content"] == (
        direct.choices[0].message.content
    )


def test_a_bad_line_is_the_lines_own_error(alice: openai.OpenAI) -> None:
    bad = [{"messages": []}, {**BODIES[CHAT], "stream": True}, {**BODIES[CHAT], "model": "other"}]
    done = wait(alice, create(alice, [BODIES[CHAT], *bad]))
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (1, 3)
    errors = read(alice, done.error_file_id)
    statuses = {custom_id: line["response"]["status_code"] for custom_id, line in errors.items()}
    assert statuses == {"1": 400, "2": 400, "3": 404}
    assert errors["2"]["response"]["body"]["error"]["param"] == "stream"


def test_a_line_that_is_not_one_fails_the_batch(alice: openai.OpenAI) -> None:
    file = alice.files.create(file=("in.jsonl", b'{"custom_id": "a"}\n{'), purpose="batch")
    batch = alice.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    done = wait(alice, batch)
    assert done.status == "failed"
    assert done.errors is not None
    assert [error.line for error in done.errors.data or []] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "1 week"}, "completion_window"),
        ({"input_file_id": "file-unknown"}, "input_file_id"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after"),
    ],
)
def test_what_a_batch_cannot_be(
    alice: openai.OpenAI, changes: dict[str, Any], parameter: str
) -> None:
    file = alice.files.create(file=("in.jsonl", b"{}"), purpose="batch")
    order = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **changes}
    with pytest.raises(openai.BadRequestError) as refused:
        alice.batches.create(**order)
    assert str(refused.value.param).startswith(parameter)


def test_cancelling(alice: openai.OpenAI) -> None:
    batch = create(alice, [LONG] * 300)
    assert alice.batches.cancel(batch.id).status == "cancelling"
    done = wait(alice, batch)
    assert done.status == "cancelled"
    assert done.cancelled_at
    with pytest.raises(openai.BadRequestError, match="cancelled"):
        alice.batches.cancel(batch.id)


def test_expiry(alice: openai.OpenAI) -> None:
    done = wait(alice, create(alice, [LONG] * 500, window="3s"))
    assert done.status == "expired"
    assert done.expired_at
    assert done.request_counts is not None
    assert done.request_counts.completed + done.request_counts.failed == 500
    errors = read(alice, done.error_file_id)
    assert {line["error"]["code"] for line in errors.values()} == {"batch_expired"}


def test_a_key_sees_only_its_own(
    alice: openai.OpenAI, batch_server: ServerProcess, keys: tuple[Path, dict[str, str]]
) -> None:
    done = wait(alice, create(alice, [BODIES[CHAT]]))
    bob = batch_server.openai(api_key=keys[1]["bob"])
    assert list(bob.batches.list()) == []
    with pytest.raises(openai.NotFoundError):
        bob.batches.retrieve(done.id)
    with pytest.raises(openai.NotFoundError):
        bob.batches.cancel(done.id)
    with pytest.raises(openai.NotFoundError):
        bob.files.content(done.output_file_id or "")
    with pytest.raises(openai.BadRequestError):
        bob.batches.create(input_file_id=done.input_file_id, endpoint=CHAT, completion_window="24h")
    newest = alice.batches.list(limit=1)
    assert [batch.id for batch in newest.data] == [done.id]
    everything = [batch.id for batch in alice.batches.list(limit=2)]
    assert len(everything) == len(set(everything)) > 2


def test_metrics_and_the_access_log(alice: openai.OpenAI, batch_server: ServerProcess) -> None:
    before = batch_server.metric("minigpt4_requests_total", route=CHAT)
    lines = batch_server.metric("minigpt4_batch_lines_total", outcome="completed")
    batch = wait(alice, create(alice, [BODIES[CHAT]] * 2))
    assert batch_server.metric("minigpt4_batch_lines_total", outcome="completed") == lines + 2
    assert batch_server.metric("minigpt4_requests_total", route=CHAT) == before
    assert batch_server.metric("minigpt4_batches_total", status="completed") >= 1
    assert count_lines(batch_server, batch) == 2


def test_a_kill_and_a_drain_lose_and_repeat_no_line(
    make_server: Callable[[Path], ServerProcess],
    keys: tuple[Path, dict[str, str]],
    batch_server: ServerProcess,
    tmp_path: Path,
) -> None:
    """The shared service idles meanwhile."""
    total = 150
    ran = 0
    batch: Batch | None = None
    for stop in (signal.SIGKILL, signal.SIGTERM, None):
        server = make_server(tmp_path)
        try:
            server.start()
            client = server.openai(api_key=keys[1]["alice"])
            if batch is None:
                batch = create(client, [{**LONG, "seed": number} for number in range(total)])
            finished = _results(tmp_path)
            if stop is None:
                done = wait(client, batch, 300)
                assert len(read(client, done.output_file_id)) == total
                break
            while _results(tmp_path) < finished + 10:
                time.sleep(0.02)
            server.signal(stop)
            assert server.wait() == (0 if stop == signal.SIGTERM else -signal.SIGKILL)
        finally:
            server.stop()
            ran += count_lines(server, batch) if batch else 0
    assert done.status == "completed"
    assert done.request_counts is not None
    assert done.request_counts.completed == total
    # A kill may lose the answers of the lines that were running, never a finished one.
    assert total <= ran <= total + 4


def test_a_folder_is_captioned_by_a_service_of_its_own(
    batch_server: ServerProcess, tmp_path: Path
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encoded(picture()))
    (tmp_path / "broken.png").write_bytes(b"no image")
    out = tmp_path / "captions.jsonl"
    line = [sys.executable, "-m", "service", "caption", str(tmp_path), "--out", str(out)]
    ended = subprocess.run(
        [*line, "--max-tokens", "8"], capture_output=True, text=True, timeout=240
    )
    assert ended.returncode == 1
    assert "broken.png" in ended.stderr
    captions = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(each["image"] for each in captions) == ["0.png", "1.png", "2.png"]
    assert all(each["caption"] for each in captions)


def _results(files: Path) -> int:
    """Finished lines that are on disk."""
    return sum(path.read_bytes().count(b"\n") for path in files.rglob("results"))
