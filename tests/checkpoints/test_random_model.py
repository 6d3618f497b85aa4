"""Model folders with random weights."""

import os
from pathlib import Path

import pytest

from service.checkpoints.random_model import SIZES, init_model, make_vision_config
from service.errors import ModelFolderError
from service.families import FAMILIES
from service.model_folder.layout import ModelFolder


def test_a_seed_makes_the_same_folder_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        init_model(tmp_path / name, "minigpt-v2", "tiny", seed=3)
    for part in ("vision/model.safetensors", "language_model/model.safetensors"):
        assert (tmp_path / "one" / part).read_bytes() == (tmp_path / "two" / part).read_bytes()


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFolderError, match="not empty"):
        init_model(tmp_path, "minigpt-v2", "tiny")


def test_the_full_sizes_are_the_published_ones() -> None:
    tokens = {
        name: make_vision_config(family, "7b").visual_tokens for name, family in FAMILIES.items()
    }
    assert tokens == {"minigpt4-vicuna": 32, "minigpt4-llama2": 64, "minigpt-v2": 256}
    widths = {name: shape.hidden_size for name, shape in SIZES.items()}
    assert widths["7b"] == 4096
    assert widths["13b"] == 5120


def test_other_users_may_read_the_files_as_the_umask_allows(any_family: ModelFolder) -> None:
    umask = os.umask(0)
    os.umask(umask)
    files = [file for file in any_family.root.rglob("*") if file.is_file()]
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {oct(0o666 & ~umask)}
