"""LoRA adapters by name, with images, on a CPU: at the start and while the service runs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from openai import OpenAI
from peft import PeftModel
from safetensors.torch import load_file

from service.api.keys_command import add_key
from service.model_folder.layout import ModelFolder
from tests.adapters import write_adapter
from tests.end_to_end.reference import Reference, Turn
from tests.end_to_end.test_answers import messages
from tests.end_to_end.test_projections import write as write_projection
from tests.pictures import picture
from tests.server import ServerProcess

BASE = "minigpt4-vicuna"
TOKENS = 12
TURNS = [Turn("What is this?", (picture("red"),))]


@pytest.fixture(scope="module")
def folder(tiny_model: Callable[[str], ModelFolder]) -> ModelFolder:
    return tiny_model(BASE)


@pytest.fixture(scope="module")
def adapters(folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("plain", "paired", "later", "wide"), 1):
        rank = 64 if name == "wide" else 4
        write_adapter(Path(folder.language_model), root / name, seed, rank)
    write_projection(folder, root / "paired.safetensors", 7)
    return root


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The file, a key with the right, and one without."""
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    return file, add_key("operator", file), add_key("client", file)


@pytest.fixture(scope="module")
def server(
    folder: ModelFolder, adapters: Path, keys: tuple[Path, str, str]
) -> Iterator[ServerProcess]:
    flags = ["--dtype", "float32", "--enable-lora", "--max-lora-rank", "8", "--max-loras", "3"]
    flags += ["--lora-modules", f"plain={adapters / 'plain'}", f"paired={adapters / 'paired'}"]
    flags += ["--projection", f"paired={adapters / 'paired.safetensors'}"]
    flags += ["--api-keys-file", str(keys[0])]
    flags += ["--adapters-dir", str(adapters), "--adapter-keys", '["operator"]']
    process = ServerProcess(folder.root, flags)
    try:
        yield process.start()
    finally:
        process.stop()


@pytest.fixture(scope="module")
def client(server: ServerProcess, keys: tuple[Path, str, str]) -> OpenAI:
    return server.openai(api_key=keys[2])


def ask(client: OpenAI, model: str) -> list[int]:
    answer = client.chat.completions.create(
        model=model,
        messages=messages(TURNS),  # type: ignore[arg-type]
        temperature=0,
        max_tokens=TOKENS,
        extra_body={"repetition_penalty": 1.0, "return_token_ids": True},
    )
    assert answer.model == model
    ids: list[int] = answer.choices[0].token_ids  # type: ignore[attr-defined]
    return ids


@torch.inference_mode()
def expected_tokens(
    folder: ModelFolder, adapter: Path | None, projection: Path | None = None
) -> list[int]:
    reference: Any = Reference(folder)
    if projection is not None:
        reference.encoder.load_state_dict(load_file(projection), strict=False)
    if adapter is not None:
        reference.llama = PeftModel.from_pretrained(reference.llama, adapter).merge_and_unload()
    tokens: list[int] = reference.answer(TURNS, TOKENS)
    return tokens


def change(server: ServerProcess, key: str, action: str, **body: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{server.url}/v1/{action}_lora_adapter"
    return httpx.post(url, json=body, headers=headers, timeout=60)


def test_each_adapter_sees_the_image(client: OpenAI, folder: ModelFolder, adapters: Path) -> None:
    expected = {
        BASE: expected_tokens(folder, None),
        "plain": expected_tokens(folder, adapters / "plain"),
        "paired": expected_tokens(folder, adapters / "paired", adapters / "paired.safetensors"),
    }
    assert len({tuple(tokens) for tokens in expected.values()}) == 3
    for _ in range(2):
        assert {model: ask(client, model) for model in expected} == expected
    assert [model.id for model in client.models.list()] == [BASE, "plain", "paired"]


def test_an_adapter_is_loaded_and_unloaded_with_the_right(
    server: ServerProcess,
    client: OpenAI,
    folder: ModelFolder,
    adapters: Path,
    keys: tuple[Path, str, str],
) -> None:
    _, operator, _ = keys
    body = {"lora_name": "new", "lora_path": "later"}
    loaded = change(server, operator, "load", **body)
    assert loaded.json() == {"lora_name": "new", "loaded": True}
    assert ask(client, "new") == expected_tokens(folder, adapters / "later")
    again = change(server, operator, "load", **body)
    assert again.status_code == 400
    assert change(server, operator, "unload", lora_name="new").json()["loaded"] is False
    assert "new" not in [model.id for model in client.models.list()]
    assert change(server, operator, "unload", lora_name="new").status_code == 404


def test_a_key_without_the_right_changes_nothing(
    server: ServerProcess, keys: tuple[Path, str, str]
) -> None:
    for key, status in ((keys[2], 403), ("wrong", 401)):
        refused = change(server, key, "load", lora_name="new", lora_path="later")
        assert refused.status_code == status
        assert change(server, key, "unload", lora_name="plain").status_code == status


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("new", "../keys", "no such folder"),
        ("new", "/etc", "no such folder"),
        ("new", "absent", "no such folder"),
        ("new", "wide", "--max-lora-rank 8"),
        ("a b", "later", "name of an adapter"),
        (BASE, "later", "conflicts"),
    ],
)
def test_an_adapter_that_cannot_be_had_is_refused(
    server: ServerProcess, keys: tuple[Path, str, str], name: str, path: str, message: str
) -> None:
    refused = change(server, keys[1], "load", lora_name=name, lora_path=path)
    assert refused.status_code == 400
    assert message in refused.json()["error"]["message"]
