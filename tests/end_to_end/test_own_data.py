"""Train on own data with LoRA, serve, export, import again, and get the same answers."""

import json
import shutil
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.cli import main
from service.scenes.render import render
from service.scenes.scene import draw_scene, rng_for
from tests.published.files import PublishedFiles
from tests.server import ServerProcess

PICTURES = 40
QUESTIONS = ("How many things are there?", "Name one of them.", "What is on the left?")
SERVE = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "768"]


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 drawn pictures, each with a conversation of two turns in LLaVA's format."""
    folder = tmp_path_factory.mktemp("talks")
    records = []
    for number in range(PICTURES):
        rng = rng_for("examples", number)
        scene = draw_scene(rng)
        render(scene, rng).save(folder / f"{number}.png")
        thing = scene.objects[0]
        turns = [
            f"<image>\n{QUESTIONS[0]}",
            f"There are {len(scene.objects)}.",
            QUESTIONS[1],
            f"A {thing.colour} {thing.kind}.",
        ]
        speakers = ("human", "gpt") * 2
        conversation = [
            {"from": speaker, "value": text} for speaker, text in zip(speakers, turns, strict=True)
        ]
        records.append({"id": number, "image": f"{number}.png", "conversations": conversation})
    (folder / "talks.json").write_text(json.dumps(records))
    return folder


def train(model: Path, talks: Path, out: Path) -> Path:
    """Train the projection and LoRA; return the finished folder."""
    given = ["--model", str(model), "--data", str(talks / "talks.json"), "--out", str(out)]
    small = "--epochs 1 --steps-per-epoch 8 --batch 4 --warmup-steps 1 --workers 0 --lora-rank 4"
    rates = "--learning-rate 0.02 --final-learning-rate 0.01 --validation 0.1 --device cpu"
    main(["align", "--preset", "minigpt-v2-stage3", *given, *small.split(), *rates.split()])
    return out / "model"


def import_again(files: PublishedFiles, model: Path, projection: Path, out: Path) -> None:
    """Import the exported file like a published one."""
    # LoRA belongs to the language model that it was trained on, which has MiniGPT-v2's own merged.
    language_model = shutil.copytree(model / "language_model", out.with_name("llm"))
    shutil.copy(files.language_model / "tokenizer.model", language_model)
    parts = ["--family", files.family, "--vit", str(files.vit), "--llm", str(language_model)]
    main(["import", str(out), *parts, "--projection", str(projection)])


def ask(process: ServerProcess, name: str, pictures: list[Path]) -> list[list[int]]:
    """Return the token ids of greedy answers."""
    answers = []
    for picture in pictures:
        uri = f"data:image/png;base64,{b64encode(picture.read_bytes()).decode()}"
        for question in QUESTIONS:
            content = [
                {"type": "image_url", "image_url": {"url": uri}},
                {"type": "text", "text": question},
            ]
            response = process.openai().chat.completions.create(
                model=name,
                messages=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
                temperature=0,
                max_tokens=12,
                extra_body={"repetition_penalty": 1.0, "return_token_ids": True},
            )
            answers.append(response.choices[0].token_ids)  # type: ignore[attr-defined]
    return answers


def test_a_model_trained_on_own_data_answers_the_same_after_export_and_import(
    published: Callable[[str], PublishedFiles],
    imported: Callable[[str], Path],
    talks: Path,
    tmp_path: Path,
) -> None:
    family = "minigpt-v2"
    trained = train(imported(family), talks, tmp_path / "run")
    pictures = [talks / f"{number}.png" for number in (0, 7)]
    lora = ["--enable-lora", "--max-lora-rank", "8", "--lora-modules"]
    process = ServerProcess(trained, flags=[*SERVE, *lora, f"trained={trained / 'adapter'}"])
    try:
        process.start()
        base, name = (card.id for card in process.openai().models.list().data)
        without, expected = ask(process, base, pictures), ask(process, name, pictures)
    finally:
        process.stop()
    assert name == "trained"
    assert without != expected

    main(["export", "--model", str(trained), "--out", str(tmp_path / "mine.pth")])
    saved = torch.load(tmp_path / "mine.pth", weights_only=True)
    assert {"llama_proj.weight", "llama_proj.bias"} < saved["model"].keys()
    import_again(published(family), imported(family), tmp_path / "mine.pth", tmp_path / "again")
    process = ServerProcess(tmp_path / "again", flags=SERVE)
    try:
        process.start()
        found = ask(process, process.openai().models.list().data[0].id, pictures)
    finally:
        process.stop()
    assert found == expected
