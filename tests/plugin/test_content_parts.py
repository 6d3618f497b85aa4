"""Content parts of ours on their way to vLLM's parser."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from service.embeddings.encode import encode_source
from service.embeddings.wire import URI_START, numbers_json, to_base64
from service.errors import ImageEmbeddingsError, SettingsError
from service.model_folder.layout import ModelFolder
from service.plugin.content_parts import rewrite_message
from service.serve.vllm_arguments import parse_vllm_flags
from service.settings import load_settings
from service.vision import shared

EMBEDDINGS = torch.ones(2, 3)
FILE = "file-" + "0" * 32
IMAGE = {"type": "image_url", "image_url": {"url": "http://example.com/a.png"}}
TEXT = {"type": "text", "text": "What?"}


@pytest.fixture(params=[True, False], ids=["on", "off"])
def allowed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    settings = load_settings(image_embeddings_input=request.param)
    monkeypatch.setattr(shared._process, "settings", settings)
    return bool(request.param)


def rewrite(content: object, **message: Any) -> Any:
    allowed = shared.shared_settings().image_embeddings_input
    return rewrite_message({"role": "user", "content": content, **message}, allowed)


@pytest.mark.parametrize("content", ["text", None, [TEXT, IMAGE], ["text"], []])
def test_other_content_is_left_as_it_is(allowed: bool, content: object) -> None:
    message = rewrite(content, name="x")
    assert message == {"role": "user", "content": content, "name": "x"}


def test_content_that_is_read_once_is_read_once(allowed: bool) -> None:
    def parts() -> Iterator[Any]:
        yield TEXT
        yield IMAGE

    assert rewrite(parts())["content"] == [TEXT, IMAGE]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": FILE}},
        {"type": "input_image", "file_id": FILE, "detail": "auto"},
        {"type": "input_image", "file_id": FILE, "image_url": None},
    ],
)
def test_a_files_id_becomes_an_address(allowed: bool, part: dict[str, Any]) -> None:
    message = rewrite([TEXT, part])
    assert message["content"] == [TEXT, {"type": "image_url", "image_url": {"url": FILE}}]


PARTS = [
    {"type": "image_embeds", "image_embeds": to_base64(EMBEDDINGS)},
    {"type": "image_embeds", "image_embeds": json.loads(numbers_json(EMBEDDINGS))},
    {"type": "image_embeds", "image_embeds": to_base64(EMBEDDINGS), "uuid": "mine"},
    {"image_embeds": to_base64(EMBEDDINGS), "uuid": "mine"},
    {"type": "text", "text": "x", "image_embeds": to_base64(EMBEDDINGS), "uuid": "mine"},
]


@pytest.mark.parametrize("part", PARTS)
def test_embeddings_become_an_address_or_are_refused(allowed: bool, part: dict[str, Any]) -> None:
    if not allowed:
        with pytest.raises(ImageEmbeddingsError, match="image_embeddings_input"):
            rewrite([part])
        return
    address = URI_START + to_base64(EMBEDDINGS)
    assert rewrite([part])["content"] == [{"type": "image_url", "image_url": {"url": address}}]


@pytest.mark.parametrize("value", [None, {}, {"a": "b"}, [], 5, ""])
def test_no_value_goes_on_to_another_reader(allowed: bool, value: object) -> None:
    with pytest.raises(ImageEmbeddingsError):
        rewrite([{"type": "image_embeds", "image_embeds": value}])


@pytest.mark.parametrize("flag", ["--enable-mm-embeds", "--enable-prompt-embeds"])
def test_vllms_own_reading_of_embeddings_stays_off(
    tiny_model: Callable[[str], ModelFolder], flag: str
) -> None:
    with pytest.raises(SettingsError, match="not served"):
        parse_vllm_flags(tiny_model("minigpt4-vicuna"), load_settings(), [flag])


async def test_an_address_of_embeddings_is_refused_where_they_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever route or part carries it."""
    monkeypatch.setattr(shared._process, "settings", load_settings())
    with pytest.raises(ImageEmbeddingsError, match="image_embeddings_input"):
        await encode_source(URI_START + to_base64(EMBEDDINGS))
