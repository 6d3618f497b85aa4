"""Written safetensors files: the library and our own reader read the same tensors back."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from service.tensors import writing
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import read_checkpoint
from service.tensors.writing import write_safetensors, write_shards
from tests.tensors.samples import make_tensors


def make_lazy(tensor: torch.Tensor) -> LazyTensor:
    return LazyTensor(tuple(tensor.shape), tensor.dtype, lambda: tensor)


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    tensors = {name: tensor.detach().contiguous() for name, tensor in make_tensors().items()}
    write_safetensors(
        tmp_path / "a.safetensors", {name: make_lazy(tensor) for name, tensor in tensors.items()}
    )
    by_library = load_file(tmp_path / "a.safetensors")
    by_us = read_checkpoint(tmp_path / "a.safetensors").tensors
    assert by_library.keys() == by_us.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(by_library[name], tensor)
        assert torch.equal(by_us[name].load(), tensor)


def test_a_large_model_is_split_into_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "SHARD_BYTES", 100)
    tensors = {name: torch.full((20,), float(value)) for value, name in enumerate("abc")}
    write_shards(tmp_path, {name: make_lazy(tensor) for name, tensor in tensors.items()})
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 240
    assert index["weight_map"]["b"] == "model-00002-of-00003.safetensors"
    read = read_checkpoint(tmp_path).tensors
    assert all(torch.equal(read[name].load(), tensor) for name, tensor in tensors.items())
