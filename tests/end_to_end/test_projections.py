"""Projections by name on one running engine: each answers as a model folder of its own would."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from openai import NotFoundError, OpenAI
from safetensors.torch import load_file, save_file

from service.model_folder.fingerprint import fingerprint
from service.model_folder.layout import ModelFolder
from tests.end_to_end.reference import Reference, Turn
from tests.end_to_end.test_answers import messages
from tests.pictures import picture
from tests.server import ServerProcess

BASE = "minigpt4-vicuna"
TOKENS = 16
TURNS = [Turn("What is this?", (picture("red"),))]
SECONDS = 30


def write(folder: ModelFolder, path: Path, seed: int) -> None:
    """Write a projection of the folder's widths, whole at once."""
    generator = torch.Generator().manual_seed(seed)
    stored = load_file(folder.vision / "model.safetensors")
    tensors = {
        name: torch.randn(t.shape, generator=generator) * t.std()
        for name, t in stored.items()
        if name.startswith("projection.")
    }
    unfinished = path.with_name(f".{path.name}")
    save_file(tensors, unfinished, fingerprint(folder))
    unfinished.rename(path)


@pytest.fixture(scope="module")
def folder(tiny_model: Callable[[str], ModelFolder]) -> ModelFolder:
    return tiny_model(BASE)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("projections")


@pytest.fixture(scope="module")
def server(
    folder: ModelFolder, watched: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    given = tmp_path_factory.mktemp("given")
    write(folder, given / "support.safetensors", 1)
    (given / "broken.safetensors").write_text("nothing")
    flags = ["--dtype", "float32", "--projections-dir", str(watched)]
    for name in ("support", "broken"):
        flags += ["--projection", f"{name}={given / name}.safetensors"]
    process = ServerProcess(folder.root, flags)
    try:
        yield process.start()
    finally:
        process.stop()


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> OpenAI:
    return server.openai()


def ask(client: OpenAI, model: str, **options: Any) -> Any:
    return client.chat.completions.create(
        model=model,
        messages=messages(TURNS),  # type: ignore[arg-type]
        temperature=0,
        max_tokens=TOKENS,
        extra_body={"repetition_penalty": 1.0, "return_token_ids": True},
        **options,
    )


def names(client: OpenAI) -> list[str]:
    return [model.id for model in client.models.list()]


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end, f"not within {SECONDS} s"
        time.sleep(0.1)


def expected_tokens(folder: ModelFolder, file: Path | None) -> list[int]:
    reference = Reference(folder)
    if file is not None:
        reference.encoder.load_state_dict(load_file(file), strict=False)
    return reference.answer(TURNS, TOKENS)


def test_each_model_answers_with_its_own_projection(
    server: ServerProcess, client: OpenAI, folder: ModelFolder, watched: Path
) -> None:
    assert names(client) == [BASE, "support"]
    before = server.metric("minigpt4_encoder_images_total", outcome="encoded")
    write(folder, watched / "medical.safetensors", 2)
    wait_until(lambda: "medical" in names(client))
    answers: dict[str, list[list[int]]] = {}
    for _ in range(2):  # the second time from the caches, which never mix
        for model in (BASE, "medical", "support"):
            answer = ask(client, model)
            assert answer.model == model
            answers.setdefault(model, []).append(answer.choices[0].token_ids)
    assert all(first == second for first, second in answers.values())
    assert answers[BASE][0] == expected_tokens(folder, None)
    assert answers["medical"][0] == expected_tokens(folder, watched / "medical.safetensors")
    assert len({tuple(first) for first, _ in answers.values()}) == 3
    encoded = server.metric("minigpt4_encoder_images_total", outcome="encoded") - before
    assert encoded == 1, "the ViT runs once for an image"
    assert server.metric("minigpt4_projected_images_total", model="medical") == 2
    assert server.metric("minigpt4_model_requests_total", model="medical", status="200") == 2
    assert server.metric("minigpt4_projections") == 2


def test_a_bad_file_was_refused_by_name_and_the_others_are_served(
    server: ServerProcess, client: OpenAI
) -> None:
    line = next(line for line in server.log if "Projection broken" in line)
    assert "It is not served." in line
    with pytest.raises(NotFoundError):
        ask(client, "broken")


def test_streams_and_other_routes_name_the_model(server: ServerProcess, client: OpenAI) -> None:
    chunks = list(ask(client, "support", stream=True))
    assert {chunk.model for chunk in chunks} == {"support"}
    card = client.models.retrieve("support")
    assert card.parent == BASE  # type: ignore[attr-defined]
    content = messages(TURNS)[0]["content"][:1]
    values = {}
    for model in (BASE, "support"):
        body = {"model": model, "input": content}
        answer = httpx.post(f"{server.url}/v1/image_embeddings", json=body, timeout=60).json()
        assert answer["model"] == model
        values[model] = answer["data"][0]["image_embeds"]
    assert values[BASE] != values["support"]


def test_a_file_that_is_removed_is_served_no_longer(
    client: OpenAI, folder: ModelFolder, watched: Path
) -> None:
    path = watched / "short.safetensors"
    write(folder, path, 3)
    wait_until(lambda: "short" in names(client))
    stream = ask(client, "short", stream=True)
    path.unlink()
    wait_until(lambda: "short" not in names(client))
    assert any(chunk.choices[0].finish_reason for chunk in stream), "a running answer is finished"
    with pytest.raises(NotFoundError):
        ask(client, "short")
