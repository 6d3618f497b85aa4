"""The build runs from seed to a model folder, and resumes."""

import dataclasses
from pathlib import Path

import pytest

from service.demo.build import build_demo
from service.demo.model_card import ABOUT, make_model_card
from service.demo.recipe import QUICK
from service.demo.vision_side.labels import QUERIES
from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.vision.weights import load_vision_encoder
from tests.example_scenes import read_examples

SHIPPED = Path(__file__).parents[2] / "service" / "models" / "demo"


def test_the_build_writes_a_model_folder_and_a_second_build_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = build_demo(tmp_path / "out", tmp_path / "work", QUICK)
    folder = ModelFolder.open(out)
    assert folder.index.family == "minigpt4-vicuna"
    assert folder.index.language_model == "language_model"
    encoder = load_vision_encoder(folder.vision)
    assert encoder.config.visual_tokens == folder.index.visual_tokens == QUERIES
    assert len(read_examples(out / "examples")) == 12
    assert "Apache-2.0" in (out / "MODEL_CARD.md").read_text()
    first = capsys.readouterr().err
    work = tmp_path / "work"
    trained = {file: file.read_bytes() for file in work.rglob("*.pt")}
    histories = {file: file.read_text() for file in work.rglob("history.jsonl")}
    assert len(trained) == 8 + 3 + 2, "rounds of the text side, of the vision side, and stages"
    assert len(histories) == 2
    build_demo(tmp_path / "again", work, QUICK)
    second = capsys.readouterr().err
    assert "Training the text side" in first
    assert "Training the text side" not in second
    assert trained == {file: file.read_bytes() for file in trained}
    assert histories == {file: file.read_text() for file in histories}
    again = (tmp_path / "again" / "vision" / "model.safetensors").read_bytes()
    assert again == (out / "vision" / "model.safetensors").read_bytes()


def test_the_work_of_another_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.txt").write_text(f"{dataclasses.replace(QUICK, captions=9)}\n")
    with pytest.raises(AlignmentError, match="another recipe"):
        build_demo(tmp_path / "out", tmp_path, QUICK)


def test_the_shipped_card_is_the_one_that_the_build_writes() -> None:
    assert (SHIPPED / "MODEL_CARD.md").read_text() == make_model_card(SHIPPED)
    assert (SHIPPED / "examples" / "about.txt").read_text() == f"{ABOUT}\n"
