"""The plugin under vLLM's own server, which loads only the entry point of this service."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import torch

from service.embeddings.wire import to_base64
from service.files.store import FileStore, StoreLimits
from service.images.decoding import decode_pixels
from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import load_vision_config
from service.plugin.text_limits import max_characters
from service.serve.vllm_command import vllm_command
from service.settings import load_settings
from service.vision.weights import load_vision_encoder
from tests.end_to_end.reference import Reference
from tests.end_to_end.test_answers import CONVERSATIONS, greedy
from tests.pictures import data_uri, encoded, picture
from tests.server import ServerProcess


class PlainVllm(ServerProcess):
    """The command that ``vllm-command`` prints."""

    def command(self) -> list[str]:
        python, *line = vllm_command(ModelFolder.open(self.model))
        assert python == sys.executable
        return line


@pytest.fixture(scope="module")
def files_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of uploaded files; plain vLLM has no route to upload one."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module", params=["minigpt4", "http"])
def plain_vllm(
    request: pytest.FixtureRequest,
    tiny_model: Callable[[str], ModelFolder],
    files_dir: Path,
) -> Iterator[ServerProcess]:
    """Plain vLLM, with our media connector and with its own."""
    folder: Path = tiny_model("minigpt4-vicuna").root
    flags = ["--dtype", "float32", "--enforce-eager", "--served-model-name", "minigpt4-vicuna"]
    environment = {
        "VLLM_MEDIA_CONNECTOR": request.param,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "MINIGPT4_ENCODER_DTYPE": "float32",
        "MINIGPT4_FILES_DIR": str(files_dir),
        "MINIGPT4_IMAGE_EMBEDDINGS_INPUT": "true",
    }
    process = PlainVllm(folder, flags, environment)
    try:
        process.spawn()
        process.wait_for("Application startup complete", 240)
        yield process
    finally:
        process.stop()


def test_tokens_equal_the_reference(plain_vllm: ServerProcess) -> None:
    reference = Reference(ModelFolder.open(plain_vllm.model))
    client = plain_vllm.openai()
    for name in ("one image", "two images in a turn", "text only"):
        turns = CONVERSATIONS[name]
        assert greedy(client, turns) == reference.answer(turns, 24), name


@pytest.mark.parametrize("plain_vllm", ["minigpt4"], indirect=True)
def test_files_and_embeddings_stand_for_images(plain_vllm: ServerProcess, files_dir: Path) -> None:
    image = encoded(picture("purple"))
    store = FileStore(files_dir, StoreLimits.from_settings(load_settings()))
    record = store.add("", image, "purple.png")
    vision = ModelFolder.open(plain_vllm.model).vision
    pixels = decode_pixels(image, load_vision_config(vision).image_size, 10**6)
    with torch.inference_mode():
        embeddings = load_vision_encoder(vision)(pixels[None])[0]
    parts = [
        {"type": "image_url", "image_url": {"url": data_uri(image)}},
        {"type": "file", "file": {"file_id": record.id}},
        {"type": "image_embeds", "image_embeds": to_base64(embeddings)},
    ]
    answers = [ask(plain_vllm, [part, {"type": "text", "text": "What?"}]) for part in parts]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["choices"][0]["message"]["content"] for answer in answers}) == 1


def test_a_text_beyond_the_bound_is_refused(plain_vllm: ServerProcess) -> None:
    answer = ask(plain_vllm, "a " * max_characters(2048), truncate_prompt_tokens=5)
    assert answer.status_code == 400
    assert "more than" in answer.json()["error"]["message"]


def ask(server: ServerProcess, content: object, **options: object) -> httpx.Response:
    body = {
        "model": "minigpt4-vicuna",
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "max_tokens": 16,
        **options,
    }
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
