"""Checkpoint files and folders of shards: which tensors they hold, and which files are refused."""

from pathlib import Path

import pytest
import torch

from service.errors import CheckpointError
from service.tensors.reading import read_checkpoint
from tests.tensors.samples import make_tensors


@pytest.mark.parametrize("key", ["model", "state_dict", None])
def test_a_training_checkpoint_is_split_into_tensors_and_configuration(
    tmp_path: Path, key: str | None
) -> None:
    tensors, file = make_tensors(), tmp_path / "a.pth"
    torch.save({key: tensors, "epoch": 4, "config": {"a": 1}} if key else tensors, file)
    checkpoint = read_checkpoint(file)
    assert checkpoint.tensors.keys() == tensors.keys()
    assert checkpoint.training == ({"epoch": 4, "config": {"a": 1}} if key else {})
    assert checkpoint.files == [file]


@pytest.mark.parametrize(
    ("content", "explanation"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!doctype html><html>", "web page"),
        (b"", "damaged"),
        (b"\x00" * 100, "damaged"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".bin"])
def test_a_failed_download_is_explained(
    tmp_path: Path, content: bytes, explanation: str, suffix: str
) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=explanation):
        read_checkpoint(file)


def test_an_index_must_not_name_files_outside_its_folder(tmp_path: Path) -> None:
    index = '{"weight_map": {"a": "../../etc/passwd"}}'
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match="outside its folder"):
        read_checkpoint(tmp_path)
