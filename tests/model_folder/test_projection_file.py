"""Projections in files: what fits the served model, and what is refused with a reason."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from service.checkpoints.random_model import init_model
from service.errors import ProjectionError
from service.model_folder.fingerprint import fingerprint
from service.model_folder.layout import ModelFolder
from service.model_folder.projection_file import ProjectionFile, read_projection
from service.model_folder.vision_config import load_vision_config

Tensors = dict[str, Tensor]


@pytest.fixture
def folder(tiny_model: Callable[[str], ModelFolder]) -> ModelFolder:
    return tiny_model("minigpt4-vicuna")


@pytest.fixture
def tensors(folder: ModelFolder) -> Tensors:
    """A projection that fits, by the names of our files."""
    stored = load_file(folder.vision / "model.safetensors")
    return {name: stored[name] + 1 for name in stored if name.startswith("projection.")}


def read(folder: ModelFolder, path: Path) -> ProjectionFile:
    config = load_vision_config(folder.vision)
    return read_projection("medical", path, config, fingerprint(folder))


def write(path: Path, tensors: Tensors, facts: dict[str, str] | None = None) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, facts)
    return path


def test_a_projection_of_align_fits(folder: ModelFolder, tensors: Tensors, tmp_path: Path) -> None:
    file = read(folder, write(tmp_path / "a.safetensors", tensors, fingerprint(folder)))
    assert (file.layers, file.checked) == (1, True)
    assert torch.equal(file.tensors["bias"], tensors["projection.bias"].float())


def test_a_published_checkpoint_fits(folder: ModelFolder, tensors: Tensors, tmp_path: Path) -> None:
    published = {name.replace("projection.", "llama_proj."): t for name, t in tensors.items()}
    published["llama_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": published, "epoch": 3}, path)
    file = read(folder, path)
    assert not file.checked, "a published file does not say what it was trained with"
    ours = read(folder, write(tmp_path / "a.safetensors", tensors))
    assert file.digest == ours.digest, "the digest is that of the numbers"


def test_a_model_folder_fits(folder: ModelFolder) -> None:
    assert read(folder, folder.root).checked


def without_bias(tensors: Tensors) -> Tensors:
    return {"projection.weight": tensors["projection.weight"]}


def wider(tensors: Tensors) -> Tensors:
    weight = tensors["projection.weight"]
    return {"projection.weight": torch.cat([weight, weight]), "projection.bias": torch.ones(2)}


def infinite(tensors: Tensors) -> Tensors:
    return {**tensors, "projection.bias": tensors["projection.bias"] / 0}


def with_more(tensors: Tensors) -> Tensors:
    return {**tensors, "llama_model.lora_A.weight": torch.ones(1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_bias, "no known form"),
        (wider, "this model needs"),
        (infinite, "not finite"),
        (with_more, "more than a projection"),
        (lambda _: {"other": torch.ones(1)}, "holds no tensors"),
    ],
)
def test_another_file_is_refused_by_name(
    folder: ModelFolder,
    tensors: Tensors,
    tmp_path: Path,
    change: Callable[[Tensors], Tensors],
    message: str,
) -> None:
    path = write(tmp_path / "a.safetensors", change(tensors))
    with pytest.raises(ProjectionError, match=message) as error:
        read(folder, path)
    assert str(error.value).startswith(f"Projection medical ({path})")


@pytest.mark.parametrize("fact", ["family", "visual_tokens", "encoder", "language_model"])
def test_a_file_of_another_model_is_refused(
    folder: ModelFolder, tensors: Tensors, tmp_path: Path, fact: str
) -> None:
    path = write(tmp_path / "a.safetensors", tensors, {**fingerprint(folder), fact: "other"})
    with pytest.raises(ProjectionError, match="trained with another model"):
        read(folder, path)


def test_a_file_that_cannot_be_read_is_refused(folder: ModelFolder, tmp_path: Path) -> None:
    broken = tmp_path / "a.safetensors"
    broken.write_bytes(b"nothing")
    for path in (broken, tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(ProjectionError, match="Projection medical"):
            read(folder, path)


def test_fingerprints_tell_models_apart_and_not_copies(folder: ModelFolder, tmp_path: Path) -> None:
    facts = fingerprint(folder)
    assert facts == fingerprint(ModelFolder.open(folder.root))
    init_model(tmp_path / "other", "minigpt4-vicuna", "tiny", seed=5)
    other = fingerprint(ModelFolder.open(tmp_path / "other"))
    assert other["family"] == facts["family"]
    assert other["encoder"] != facts["encoder"]
