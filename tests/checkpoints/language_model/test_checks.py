"""Checks of the language model: delta weights, missing tensors, unsuitable versions."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.checkpoints.importing import collect_warnings, refuse_import, replace_arguments
from tests.published.files import PublishedFiles
from tests.published.llama_folder import write_llama, write_shards

Get = Callable[[str], PublishedFiles]


def test_delta_weights_are_recognised_by_their_values(tmp_path: Path, published: Get) -> None:
    folder = tmp_path / "vicuna-7b"
    tensors = write_llama(folder)
    delta = {name: 0.002 * torch.randn_like(tensor) for name, tensor in tensors.items()}
    write_shards(folder, delta, binary=True)
    arguments = replace_arguments(published("minigpt4-vicuna").arguments, llm=folder)
    message = refuse_import(tmp_path / "model", arguments)
    assert "delta weights" in message
    assert "apply_delta" in message


def test_merged_weights_in_a_folder_named_delta_are_accepted(
    tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "vicuna-7b-delta-v0"
    write_llama(folder)
    arguments = replace_arguments(published("minigpt4-vicuna").arguments, llm=folder)
    assert not collect_warnings(capsys, tmp_path / "model", arguments)


@pytest.mark.parametrize(
    ("name", "llama2", "version"),
    [
        ("vicuna-7b-v0", False, None),
        ("vicuna-7b", False, None),
        ("vicuna-7b-v1.1", False, "v1.1"),
        ("vicuna-7b-v1.5", True, "v1.5"),
        ("my-language-model", True, "made from Llama-2"),
    ],
)
def test_a_later_vicuna_gets_a_warning(
    name: str,
    llama2: bool,
    version: str | None,
    tmp_path: Path,
    published: Get,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_llama(tmp_path / name, llama2=llama2)
    arguments = replace_arguments(published("minigpt4-vicuna").arguments, llm=tmp_path / name)
    warnings = collect_warnings(capsys, tmp_path / "model", arguments)
    assert (version in warnings and "Vicuna v0" in warnings) if version else not warnings


def test_llama1_in_a_llama2_family_gets_a_warning(
    tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    write_llama(tmp_path / "llm", llama2=False)
    arguments = replace_arguments(published("minigpt4-llama2").arguments, llm=tmp_path / "llm")
    assert "Llama-2-chat 7B" in collect_warnings(capsys, tmp_path / "model", arguments)


def test_missing_and_unexpected_tensors_are_named(tmp_path: Path, published: Get) -> None:
    folder = tmp_path / "llm"
    tensors = write_llama(folder)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    write_shards(folder, tensors | {"model.surprise": torch.ones(1)}, binary=True)
    arguments = replace_arguments(published("minigpt4-vicuna").arguments, llm=folder)
    message = refuse_import(tmp_path / "model", arguments)
    assert "missing: model.layers.1.mlp.up_proj.weight" in message
    assert "unexpected: model.surprise" in message
