"""Reading untrusted checkpoint files: exact, bounded in memory, and nothing in them runs."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from service.errors import CheckpointError
from service.tensors.reading import read_checkpoint
from service.tensors.writing import PlannedTensor, write_safetensors


def _tensors() -> dict[str, torch.Tensor]:
    return {
        "contiguous": torch.randn(3, 4),
        "a view": torch.randn(6, 5).t()[1:, ::2],
        "half": torch.randn(7).half(),
        "bfloat16": torch.randn(2, 2).bfloat16(),
        "integers": torch.arange(5),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(2)),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_pickled_checkpoint_reads_back(tmp_path: Path, zipped: bool, wrapped: bool) -> None:
    tensors, file = _tensors(), tmp_path / "a.pth"
    content = {"model": tensors, "epoch": 4, "config": {"a": 1}} if wrapped else tensors
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(file)
    assert checkpoint.tensors.keys() == tensors.keys()
    assert checkpoint.training == ({"epoch": 4, "config": {"a": 1}} if wrapped else {})
    for name, entry in checkpoint.tensors.items():
        read = entry.read()
        assert torch.equal(read, tensors[name].detach()), name
        assert (entry.shape, entry.dtype) == (tuple(read.shape), read.dtype)


def test_safetensors_are_written_and_read_as_the_library_does(tmp_path: Path) -> None:
    tensors = {name: tensor.detach().contiguous() for name, tensor in _tensors().items()}
    planned = [
        PlannedTensor(name, tuple(tensor.shape), tensor.dtype, lambda tensor=tensor: tensor)
        for name, tensor in tensors.items()
    ]
    write_safetensors(tmp_path / "a.safetensors", planned)
    loaded = load_file(tmp_path / "a.safetensors")
    read = read_checkpoint(tmp_path / "a.safetensors").tensors
    assert loaded.keys() == read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor)
        assert torch.equal(read[name].read(), tensor)


class _Malice:
    """Creates a file when it is unpickled in the ordinary way."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_runs_nothing(tmp_path: Path, zipped: bool) -> None:
    file, mark = tmp_path / "evil.pth", tmp_path / "it-ran"
    content = {"model": {"llama_proj.weight": torch.ones(2, 2)}, "config": _Malice(mark)}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        CheckpointError, match=r"could run code on this machine \(it asks for posix"
    ):
        read_checkpoint(file)
    assert not mark.exists()
    torch.load(file, weights_only=False)
    assert mark.exists(), "the file was harmless, so the test proves nothing"


def test_a_bare_malicious_pickle_runs_nothing(tmp_path: Path) -> None:
    file, mark = tmp_path / "evil.bin", tmp_path / "it-ran"
    file.write_bytes(pickle.dumps(_Malice(mark)))
    with pytest.raises(CheckpointError, match="could run code"):
        read_checkpoint(file)
    assert not mark.exists()


def test_a_tensor_that_claims_to_be_larger_than_its_file_allocates_nothing(tmp_path: Path) -> None:
    """A stride of 0 makes a terabyte out of one number."""
    file = tmp_path / "bomb.pth"
    torch.save({"bomb": torch.ones(1).expand(2**20, 2**18)}, file)
    entry = read_checkpoint(file).tensors["bomb"]
    with pytest.raises(CheckpointError, match="larger than the file"):
        entry.read()


def test_a_broken_download_is_recognised(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save({"a": torch.ones(1000)}, file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(file)


def test_a_recompressed_archive_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1000)}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as original,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in original.namelist():
            packed.writestr(member, original.read(member))
    with pytest.raises(CheckpointError, match="is compressed"):
        read_checkpoint(tmp_path / "b.pth")


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
def test_what_is_no_checkpoint_is_named(
    tmp_path: Path, content: bytes, explanation: str, suffix: str
) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=explanation):
        read_checkpoint(file)


def test_broken_safetensors_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(100)}, file)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="as safetensors"):
        read_checkpoint(file)


def test_an_index_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    index = '{"weight_map": {"a": "../../etc/passwd"}}'
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match="outside its folder"):
        read_checkpoint(tmp_path)
