"""A model folder that cannot be served is refused with a message that says what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.errors import ModelFolderError
from service.model_folder.layout import INDEX_FILE, ModelFolder
from service.model_folder.validation import validate
from tests.model_folder.editing import edit_json


@pytest.fixture
def folder(copy_model: Callable[[str], Path]) -> Path:
    return copy_model("minigpt4-vicuna")


def refuse(folder: Path) -> str:
    """Validate a folder that must be refused; return the message."""
    with pytest.raises(ModelFolderError) as refusal:
        validate(ModelFolder.open(folder))
    return str(refusal.value)


def test_the_folder_of_every_family_is_valid(any_family: ModelFolder) -> None:
    validate(any_family)


def test_a_13b_projection_does_not_fit_a_7b_language_model(folder: Path) -> None:
    edit_json(folder / "vision" / "config.json", hidden_size=5120)
    edit_json(folder / "language_model" / "config.json", hidden_size=4096)
    message = refuse(folder)
    assert "5120 (13B)" in message
    assert "4096 (7B)" in message


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("vision/config.json", "vision/config.json is missing"),
        ("vision/model.safetensors", "model.safetensors is missing"),
        ("tokenizer/tokenizer.json", "tokenizer.json"),
        ("tokenizer/chat_template.jinja", "conversation format"),
        ("language_model/config.json", "config.json is missing"),
        ("language_model/model.safetensors", ".safetensors"),
    ],
)
def test_a_missing_file_is_named(folder: Path, part: str, message: str) -> None:
    (folder / part).unlink()
    assert message in refuse(folder)


def test_a_missing_language_model_is_named(folder: Path) -> None:
    edit_json(folder / INDEX_FILE, language_model="../vicuna-7b")
    assert "../vicuna-7b is not there" in refuse(folder)


def test_a_language_model_on_the_hub_is_not_checked(folder: Path) -> None:
    edit_json(folder / INDEX_FILE, language_model="lmsys/vicuna-7b-v1.1")
    validate(ModelFolder.open(folder))


def test_a_tokenizer_without_the_image_token_is_refused(folder: Path) -> None:
    file = folder / "tokenizer" / "tokenizer.json"
    file.write_text(file.read_text().replace("<ImageHere>", "<Other>"))
    assert "does not know <ImageHere>" in refuse(folder)


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(folder: Path) -> None:
    edit_json(folder / "language_model" / "config.json", vocab_size=1000)
    assert "belong to different models" in refuse(folder)


def test_a_language_model_of_another_architecture_is_refused(folder: Path) -> None:
    edit_json(folder / "language_model" / "config.json", model_type="opt")
    assert "opt model" in refuse(folder)


def test_an_encoder_of_another_family_is_refused(
    folder: Path, tiny_model: Callable[[str], ModelFolder]
) -> None:
    shutil.rmtree(folder / "vision")
    shutil.copytree(tiny_model("minigpt4-llama2").vision, folder / "vision")
    edit_json(folder / INDEX_FILE, visual_tokens=64)
    assert "has no Q-Former" in refuse(folder)


@pytest.mark.parametrize("part", ["vision", "language_model"])
@pytest.mark.parametrize("size", [0, 5, 20_000])
def test_truncated_weights_are_refused(folder: Path, part: str, size: int) -> None:
    weights = folder / part / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(size)
    message = refuse(folder)
    assert str(weights) in message
    assert "again" in message


def test_weights_without_read_permission_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = folder / "vision" / "model.safetensors"
    open_file = Path.open

    def refuse_weights(file: Path, *arguments: Any, **options: Any) -> Any:
        if file == weights:
            raise PermissionError(13, "Permission denied")
        return open_file(file, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse_weights)
    assert "may not be read by this user" in refuse(folder)
