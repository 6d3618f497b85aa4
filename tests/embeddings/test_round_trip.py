"""Embeddings and file ids give the same answer as the image itself, in a running service."""

import base64
from typing import Any

import httpx
import pytest
from openai import NotFoundError, OpenAI
from safetensors.torch import load, save

from service.embeddings.wire import URI_START
from tests.pictures import encoded, picture, picture_uri
from tests.server import ServerProcess

MODEL = "minigpt4-vicuna"
TEXT = {"type": "text", "text": "What is this?"}


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> OpenAI:
    return server.openai()


def image_url(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def post(server: ServerProcess, *parts: dict[str, Any], **options: Any) -> httpx.Response:
    body = {
        "messages": [{"role": "user", "content": [*parts, TEXT]}],
        "max_tokens": 24,
        "temperature": 0,
        "logprobs": True,
        **options,
    }
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)


def read_tokens(answer: httpx.Response) -> list[tuple[str, float]]:
    """Each token with its log-probability."""
    assert answer.status_code == 200, answer.text
    content = answer.json()["choices"][0]["logprobs"]["content"]
    return [(token["token"], round(token["logprob"], 4)) for token in content]


def embed(server: ServerProcess, *parts: dict[str, Any], **options: Any) -> httpx.Response:
    body = {"input": parts, **options}
    return httpx.post(f"{server.url}/v1/image_embeddings", json=body, timeout=60)


@pytest.mark.parametrize("form", ["base64", "float"])
def test_embeddings_in_place_of_an_image_give_the_same_answer(
    server: ServerProcess, form: str
) -> None:
    expected = read_tokens(post(server, image_url(picture_uri("red"))))
    answer = embed(server, image_url(picture_uri("red")), encoding_format=form).json()
    value = answer["data"][0]["image_embeds"]
    assert read_tokens(post(server, {"type": "image_embeds", "image_embeds": value})) == expected
    assert read_tokens(post(server, image_url(picture_uri("blue")))) != expected


def test_the_response_describes_its_embeddings(server: ServerProcess) -> None:
    answer = embed(server, image_url(picture_uri("red")), image_url(picture_uri("blue"))).json()
    assert answer["model"] == MODEL
    first, second = answer["data"]
    assert (first["index"], second["index"]) == (0, 1)
    assert first["image_embeds"] != second["image_embeds"]
    tensor = load(base64.b64decode(first["image_embeds"]))["image_embeds"]
    assert list(tensor.shape) == first["shape"]
    assert first["shape"][0] == 32
    assert str(tensor.dtype) == f"torch.{first['dtype']}" == "torch.float32"
    assert answer["usage"]["prompt_tokens"] == 64


def test_a_message_may_mix_images_and_embeddings(server: ServerProcess) -> None:
    red, blue = image_url(picture_uri("red")), image_url(picture_uri("blue"))
    value = embed(server, blue).json()["data"][0]["image_embeds"]
    part = {"type": "image_embeds", "image_embeds": value}
    assert read_tokens(post(server, red, part)) == read_tokens(post(server, red, blue))
    assert read_tokens(post(server, part, red)) == read_tokens(post(server, blue, red))


def test_other_routes_accept_embeddings_as_an_image_url(
    server: ServerProcess, client: OpenAI
) -> None:
    value = embed(server, image_url(picture_uri("red"))).json()["data"][0]["image_embeds"]

    def respond(url: str) -> str:
        content = [
            {"type": "input_image", "image_url": url},
            {"type": "input_text", "text": TEXT["text"]},
        ]
        messages: Any = [{"role": "user", "content": content}]
        return client.responses.create(
            model=MODEL, input=messages, max_output_tokens=8, temperature=0
        ).output_text

    assert respond(URI_START + value) == respond(picture_uri("red"))
    source = {"type": "base64", "media_type": "application/vnd.safetensors", "data": value}
    content = [{"type": "image", "source": source}, TEXT]
    body = {
        "model": MODEL,
        "max_tokens": 8,
        "temperature": 0,
        "messages": [{"role": "user", "content": content}],
    }
    answer = httpx.post(f"{server.url}/v1/messages", json=body, timeout=60).json()
    assert answer["content"][0]["text"] == respond(picture_uri("red"))


def test_changed_embeddings_give_another_answer(server: ServerProcess) -> None:
    """The caches must not mix them up with the original embeddings."""
    value = embed(server, image_url(picture_uri("red"))).json()["data"][0]["image_embeds"]
    tensor = load(base64.b64decode(value))["image_embeds"]
    changed = base64.b64encode(save({"image_embeds": -3 * tensor})).decode()
    same, other = (
        read_tokens(post(server, {"type": "image_embeds", "image_embeds": data}))
        for data in (value, changed)
    )
    assert same != other


@pytest.mark.parametrize(
    "value",
    ["AAAA", "", None, {"shape": [1, 2], "data": [1, 2]}, {"a": "b"}, [[1.0]], "A" * 2_000_000],
    ids=str,
)
def test_bad_embeddings_are_refused(server: ServerProcess, value: object) -> None:
    answer = post(server, {"type": "image_embeds", "image_embeds": value})
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    assert error["param"] in ("image_embeds", "messages")
    assert len(error["message"]) < 300


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"input": []}, 400),
        ({"input": "x"}, 400),
        ({"input": [TEXT]}, 400),
        ({"input": [{"type": "input_image"}]}, 400),
        ({"input": [image_url("data:image/png;base64,AAAA")]}, 400),
        ({"input": [image_url("http://127.0.0.1:9/a.png")]}, 422),
        ({"input": [image_url(picture_uri())] * 5}, 400),
        ({"input": [image_url(picture_uri())], "model": "other"}, 404),
        ({"input": [image_url(picture_uri())], "encoding_format": "pickle"}, 400),
    ],
)
def test_bad_requests_for_embeddings_are_refused(
    server: ServerProcess, body: Any, status: int
) -> None:
    answer = httpx.post(f"{server.url}/v1/image_embeddings", json=body, timeout=60)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


@pytest.fixture
def file_id(client: OpenAI) -> str:
    return client.files.create(file=("red.png", encoded(picture("red"))), purpose="vision").id


def test_a_request_may_name_a_file_by_its_id(server: ServerProcess, file_id: str) -> None:
    expected = read_tokens(post(server, image_url(picture_uri("red"))))
    assert read_tokens(post(server, image_url(file_id))) == expected
    assert read_tokens(post(server, {"type": "file", "file": {"file_id": file_id}})) == expected
    (data,) = embed(server, {"type": "input_image", "file_id": file_id}).json()["data"]
    assert (
        read_tokens(post(server, {"type": "image_embeds", "image_embeds": data["image_embeds"]}))
        == expected
    )


def test_the_responses_route_accepts_a_file_id(client: OpenAI, file_id: str) -> None:
    def respond(**image: str) -> str:
        content = [{"type": "input_image", **image}, {"type": "input_text", "text": TEXT["text"]}]
        messages: Any = [{"role": "user", "content": content}]
        return client.responses.create(
            model=MODEL, input=messages, max_output_tokens=8, temperature=0
        ).output_text

    assert respond(file_id=file_id) == respond(image_url=picture_uri("red"))


def test_a_deleted_file_is_refused(server: ServerProcess, client: OpenAI, file_id: str) -> None:
    client.files.delete(file_id)
    for part in (image_url(file_id), {"type": "file", "file": {"file_id": file_id}}):
        answer = post(server, part)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "image_url"
    with pytest.raises(NotFoundError):
        client.files.retrieve(file_id)


@pytest.mark.parametrize("path", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "file-%00", "%2e"])
def test_a_path_is_not_a_file_id(server: ServerProcess, path: str) -> None:
    answer = httpx.get(f"{server.url}/v1/files/{path}/content")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == 404
    assert post(server, image_url(f"file-/{path}")).status_code == 400


def test_the_openapi_schema_describes_the_routes(server: ServerProcess) -> None:
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    form = paths["/v1/files"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["required"] == ["file", "purpose"]
    assert "200" in paths["/v1/image_embeddings"]["post"]["responses"]
