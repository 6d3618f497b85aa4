"""``curl``: what shell scripts, uptime monitors and load balancers send."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.example import ANSWER, MODEL, NO_MODEL, PICTURE, QUESTION, URI
from tests.programs import program, run


def curl(*words: str | Path, **options: Any) -> str:
    """What curl prints; ``--include`` puts the response's head first."""
    return run(program("curl"), "--silent", "--show-error", *words, **options)


def body(**changes: object) -> dict[str, object]:
    content = [
        {"type": "image_url", "image_url": {"url": URI}},
        {"type": "text", "text": QUESTION},
    ]
    return {"messages": [{"role": "user", "content": content}], **changes}


def post(url: str, data: object, *words: str) -> str:
    """Send JSON from standard input."""
    text = json.dumps(data)
    header = ("-H", "Content-Type: application/json")
    return curl(f"{url}/v1/chat/completions", *header, "-d", "@-", *words, input=text)


def said(answer: str) -> str:
    return json.loads(answer)["choices"][0]["message"]["content"]


def test_answer_without_a_model_name(url: str) -> None:
    assert ANSWER in said(post(url, body()))


def test_stream(url: str) -> None:
    head, _, events = post(url, body(stream=True), "-N", "--include").partition("\n\n")
    assert "cache-control: no-cache" in head.lower()
    assert "x-accel-buffering: no" in head.lower()
    chunks = [line.removeprefix("data: ") for line in events.splitlines() if line]
    assert chunks[-1] == "[DONE]"
    deltas = [json.loads(chunk)["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert ANSWER in "".join(delta.get("content") or "" for delta in deltas)


def test_packed_body(url: str, tmp_path: Path) -> None:
    packed = tmp_path / "body.gz"
    packed.write_bytes(gzip.compress(json.dumps(body()).encode()))
    headers = ("-H", "Content-Type: application/json", "-H", "Content-Encoding: gzip")
    answer = curl(f"{url}/v1/chat/completions", *headers, "--data-binary", f"@{packed}")
    assert ANSWER in said(answer)


def test_base64_as_the_shell_writes_it(url: str) -> None:
    """``base64`` breaks its lines."""
    lines = base64.encodebytes(PICTURE.read_bytes()).decode()
    part = {"type": "image_url", "image_url": lines}
    content = [part, {"type": "text", "text": QUESTION}]
    assert ANSWER in said(post(url, {"messages": [{"role": "user", "content": content}]}))


def test_upload(url: str) -> None:
    form = ("-F", "purpose=vision", "-F", f"file=@{PICTURE}")
    uploaded = json.loads(curl(f"{url}/v1/files", *form))
    part = {"type": "image_url", "image_url": {"url": uploaded["id"]}}
    content = [part, {"type": "text", "text": QUESTION}]
    assert ANSWER in said(post(url, {"messages": [{"role": "user", "content": content}]}))
    gone = json.loads(curl("-X", "DELETE", f"{url}/v1/files/{uploaded['id']}"))
    assert gone["deleted"] is True


@pytest.mark.parametrize("path", ["/health", "/ready", "/", "/v1/models", f"/v1/models/{MODEL}"])
def test_head(url: str, path: str) -> None:
    assert curl("--head", "--fail", url + path).startswith("HTTP/1.1 200")


def test_models(url: str) -> None:
    card = json.loads(curl(f"{url}/v1/models/{MODEL}"))
    assert card["family"] == "minigpt4-vicuna"
    assert card["max_model_len"] == 2048
    assert "image" in card["modalities"]["input"]
    assert "/" not in card["root"]


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (body(model=NO_MODEL), 404, NO_MODEL),
        (body(temperature=-1), 400, "temperature"),
        ({"messages": [{"role": "user", "content": None}]}, 400, "content"),
        ([], 400, "object"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, 400, "hologram"),
    ],
    ids=["model", "temperature", "content", "array", "part"],
)
def test_errors(url: str, data: object, status: int, words: str) -> None:
    text, _, code = post(url, data, "-w", "\n%{http_code}").rpartition("\n")
    assert int(code) == status
    assert words in json.loads(text)["error"]["message"]
