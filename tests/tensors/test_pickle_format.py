"""Pickled checkpoints: exact values, bounded memory, and no code from the file runs."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.pickle_format import read_pickle
from tests.malicious_pickle import MaliciousPickle
from tests.tensors.samples import make_tensors


@pytest.mark.parametrize("as_archive", [True, False])
def test_every_tensor_is_read_exactly(tmp_path: Path, as_archive: bool) -> None:
    tensors, file = make_tensors(), tmp_path / "a.pth"
    torch.save({"model": tensors, "epoch": 4}, file, _use_new_zipfile_serialization=as_archive)
    content = read_pickle(file)
    assert content["epoch"] == 4
    for name, lazy in content["model"].items():
        loaded = lazy.load()
        assert torch.equal(loaded, tensors[name].detach()), name
        assert (lazy.shape, lazy.dtype) == (tuple(loaded.shape), loaded.dtype)


@pytest.mark.parametrize("as_archive", [True, False])
def test_a_malicious_pickle_runs_nothing(tmp_path: Path, as_archive: bool) -> None:
    file, mark = tmp_path / "malicious.pth", tmp_path / "it-ran"
    content = {"model": {"llama_proj.weight": torch.ones(2, 2)}, "config": MaliciousPickle(mark)}
    torch.save(content, file, _use_new_zipfile_serialization=as_archive)
    with pytest.raises(
        CheckpointError, match=r"could run code on this machine \(it asks for posix"
    ):
        read_pickle(file)
    assert not mark.exists()
    torch.load(file, weights_only=False)
    assert mark.exists(), "the file was harmless, so the test proves nothing"


def test_a_malicious_pickle_without_tensors_runs_nothing(tmp_path: Path) -> None:
    file, mark = tmp_path / "malicious.bin", tmp_path / "it-ran"
    file.write_bytes(pickle.dumps(MaliciousPickle(mark)))
    with pytest.raises(CheckpointError, match="could run code"):
        read_pickle(file)
    assert not mark.exists()


def test_a_tensor_larger_than_its_file_is_refused_before_memory_is_allocated(
    tmp_path: Path,
) -> None:
    """A stride of 0 makes a terabyte out of one number."""
    file = tmp_path / "bomb.pth"
    torch.save({"bomb": torch.ones(1).expand(2**20, 2**18)}, file)
    lazy: LazyTensor = read_pickle(file)["bomb"]
    with pytest.raises(CheckpointError, match="larger than the file"):
        lazy.load()


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save({"a": torch.ones(1000)}, file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="damaged"):
        read_pickle(file)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1000)}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as original,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as compressed,
    ):
        for member in original.namelist():
            compressed.writestr(member, original.read(member))
    with pytest.raises(CheckpointError, match="is compressed"):
        read_pickle(tmp_path / "b.pth")
