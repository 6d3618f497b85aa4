"""Name tables: each tensor ends in exactly one group."""

import pytest
import torch

from service.checkpoints.layouts.name_table import NameTable, count_layers, rename_tensors
from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor

TABLE = NameTable(
    renamed=[("blocks.#.attn.*", "layers.#.attention.*"), ("bias", "last.bias")],
    ignored=[("head.**", "the classifier")],
    foreign=[("blocks.#.gamma", "layer scale")],
)
TENSOR = LazyTensor((1,), torch.float32, lambda: torch.ones(1))


def test_tensors_are_renamed_ignored_foreign_or_unexpected() -> None:
    names = ["blocks.12.attn.key", "bias", "head.a.b", "blocks.3.gamma", "blocks.x.attn.key"]
    renamed = rename_tensors(dict.fromkeys(names, TENSOR), TABLE)
    assert list(renamed.tensors) == ["layers.12.attention.key", "last.bias"]
    assert renamed.ignored == {"the classifier": ["head.a.b"]}
    assert renamed.foreign == {"layer scale": ["blocks.3.gamma"]}
    assert renamed.unexpected == ["blocks.x.attn.key"]


def test_the_original_name_is_found_again() -> None:
    table = TABLE.with_prefix("model.")
    assert table.original_name("layers.12.attention.key") == "model.blocks.12.attn.key"
    assert table.original_name("unknown") == "unknown"


def test_layers_are_counted_and_gaps_refused() -> None:
    assert count_layers(["a.0.x", "a.1.x", "a.1.y", "b.7.x"], "a.") == 2
    with pytest.raises(CheckpointError, match=r"\[1\]"):
        count_layers(["a.0.x", "a.2.x"], "a.")
