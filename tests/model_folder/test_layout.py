"""The model folder's index."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import ModelFolderError
from service.model_folder.layout import INDEX_FILE, ModelFolder, ModelIndex
from tests.model_folder.editing import edit_json


@pytest.fixture
def folder(copy_model: Callable[[str], Path]) -> Path:
    return copy_model("minigpt4-vicuna")


def test_a_folder_without_an_index_is_refused_with_advice(folder: Path) -> None:
    (folder / INDEX_FILE).unlink()
    with pytest.raises(ModelFolderError, match="init-model"):
        ModelFolder.open(folder)


@pytest.mark.parametrize(
    "change", [{"family": "minigpt5"}, {"format_version": 2}, {"extra": 1}, {"visual_tokens": 0}]
)
def test_an_index_with_an_unknown_value_is_refused(folder: Path, change: dict[str, object]) -> None:
    edit_json(folder / INDEX_FILE, **change)
    with pytest.raises(ModelFolderError, match=next(iter(change))):
        ModelFolder.open(folder)


def test_an_unknown_sampling_parameter_is_refused() -> None:
    with pytest.raises(ValidationError, match="temprature"):
        ModelIndex(
            family="minigpt4-vicuna",
            image_size=224,
            visual_tokens=32,
            sampling={"temprature": 1},  # type: ignore[dict-item]
        )


def test_the_language_model_may_be_a_hub_id(folder: Path) -> None:
    edit_json(folder / INDEX_FILE, language_model="lmsys/vicuna-7b-v1.1")
    opened = ModelFolder.open(folder)
    assert opened.language_model == "lmsys/vicuna-7b-v1.1"
    assert not opened.language_model_is_local
