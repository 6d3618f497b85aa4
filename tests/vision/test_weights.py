"""Vision weights that do not fit their configuration are refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from service.errors import ModelFolderError
from service.model_folder.layout import ModelFolder
from service.vision.weights import load_vision_encoder


@pytest.fixture
def folder(tiny_model: Callable[[str], ModelFolder], tmp_path: Path) -> Path:
    """A copy of the vision part of a model folder, to be damaged."""
    return Path(shutil.copytree(tiny_model("minigpt4-vicuna").vision, tmp_path / "vision"))


def test_every_tensor_that_does_not_fit_is_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["query_tokens"]
    tensors["surplus"] = tensors["projection.bias"].clone()
    tensors["projection.bias"] = tensors["projection.bias"][:-1].clone()
    save_file(tensors, file)
    with pytest.raises(ModelFolderError) as refusal:
        load_vision_encoder(folder)
    for problem in ("missing: query_tokens", "unexpected: surplus", "projection.bias is (127,)"):
        assert problem in str(refusal.value)


def test_a_file_that_is_not_safetensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x80\x04 a pickle, perhaps")
    with pytest.raises(ModelFolderError, match="cannot be read as safetensors"):
        load_vision_encoder(folder)
