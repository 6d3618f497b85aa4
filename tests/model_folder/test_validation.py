"""What is wrong with a model folder is said before anything is started, with what to do."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from service.checkpoints.random_model import SIZES, init_model, vision_config
from service.errors import ModelFolderError
from service.families import FAMILIES
from service.model_folder.layout import INDEX_FILE, ModelFolder
from service.model_folder.validation import validate
from service.serve.builtin_models import resolve_model
from service.vision.weights import load_vision_encoder


@pytest.fixture
def folder(tiny_model: Callable[[str], ModelFolder], tmp_path: Path) -> Path:
    """A copy of a good folder, to be broken."""
    return Path(shutil.copytree(tiny_model("minigpt4-vicuna").root, tmp_path / "model"))


def edit(file: Path, **changes: object) -> None:
    """Change keys of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def problem(folder: Path) -> str:
    """The message with which the folder is refused."""
    with pytest.raises(ModelFolderError) as refusal:
        validate(ModelFolder.open(folder))
    return str(refusal.value)


def test_every_family_is_whole_when_it_is_made(any_family: ModelFolder) -> None:
    validate(any_family)


def test_no_index(folder: Path) -> None:
    (folder / INDEX_FILE).unlink()
    assert "init-model" in problem(folder)


@pytest.mark.parametrize(
    "change", [{"family": "minigpt5"}, {"format_version": 2}, {"extra": 1}, {"visual_tokens": 0}]
)
def test_an_index_that_says_something_unknown(folder: Path, change: dict[str, object]) -> None:
    edit(folder / INDEX_FILE, **change)
    assert next(iter(change)) in problem(folder)


def test_a_13b_projection_beside_a_7b_language_model(folder: Path) -> None:
    edit(folder / "vision" / "config.json", hidden_size=5120)
    edit(folder / "language_model" / "config.json", hidden_size=4096)
    message = problem(folder)
    assert "5120 (13B)" in message
    assert "4096 (7B)" in message


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ("vision/config.json", "vision/config.json is missing"),
        ("vision/model.safetensors", "model.safetensors is missing"),
        ("tokenizer/tokenizer.json", "tokenizer.json"),
        ("tokenizer/chat_template.jinja", "conversation format"),
        ("language_model/config.json", "config.json is missing"),
        ("language_model/model.safetensors", ".safetensors"),
    ],
)
def test_a_missing_part(folder: Path, part: str, word: str) -> None:
    (folder / part).unlink()
    assert word in problem(folder)


def test_a_missing_language_model(folder: Path) -> None:
    edit(folder / INDEX_FILE, language_model="../vicuna-7b")
    assert "../vicuna-7b is not there" in problem(folder)


def test_a_language_model_may_be_a_hub_id(folder: Path) -> None:
    edit(folder / INDEX_FILE, language_model="lmsys/vicuna-7b-v1.1")
    opened = ModelFolder.open(folder)
    validate(opened)
    assert opened.language_model == "lmsys/vicuna-7b-v1.1"
    assert not opened.language_model_is_local


def test_a_tokenizer_without_the_image_token(folder: Path) -> None:
    file = folder / "tokenizer" / "tokenizer.json"
    file.write_text(file.read_text().replace("<ImageHere>", "<Other>"))
    assert "does not know <ImageHere>" in problem(folder)


def test_a_tokenizer_with_more_tokens_than_the_language_model(folder: Path) -> None:
    edit(folder / "language_model" / "config.json", vocab_size=1000)
    assert "belong to different models" in problem(folder)


def test_another_architecture(folder: Path) -> None:
    edit(folder / "language_model" / "config.json", model_type="opt")
    assert "opt model" in problem(folder)


def test_an_encoder_of_another_family(
    folder: Path, tiny_model: Callable[[str], ModelFolder]
) -> None:
    shutil.rmtree(folder / "vision")
    shutil.copytree(tiny_model("minigpt4-llama2").vision, folder / "vision")
    edit(folder / INDEX_FILE, visual_tokens=64)
    assert "has no Q-Former" in problem(folder)


def test_tensors_that_do_not_fit_are_all_named(folder: Path) -> None:
    file = folder / "vision" / "model.safetensors"
    tensors = load_file(file)
    del tensors["query_tokens"]
    tensors["surplus"] = tensors["projection.bias"].clone()
    tensors["projection.bias"] = tensors["projection.bias"][:-1].clone()
    save_file(tensors, file)
    with pytest.raises(ModelFolderError) as refusal:
        load_vision_encoder(folder / "vision")
    for word in ("missing: query_tokens", "unexpected: surplus", "projection.bias is (127,)"):
        assert word in str(refusal.value)


def test_weights_that_are_no_safetensors(folder: Path) -> None:
    (folder / "vision" / "model.safetensors").write_bytes(b"\x80\x04 a pickle, perhaps")
    with pytest.raises(ModelFolderError, match="cannot be read as safetensors"):
        load_vision_encoder(folder / "vision")


def test_a_seed_makes_the_same_folder_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        init_model(tmp_path / name, "minigpt-v2", "tiny", seed=3)
    for part in ("vision/model.safetensors", "language_model/model.safetensors"):
        assert (tmp_path / "one" / part).read_bytes() == (tmp_path / "two" / part).read_bytes()
    with pytest.raises(ModelFolderError, match="not empty"):
        init_model(tmp_path / "one", "minigpt-v2", "tiny")


def test_published_sizes() -> None:
    tokens = {name: vision_config(family, "7b").visual_tokens for name, family in FAMILIES.items()}
    assert tokens == {"minigpt4-vicuna": 32, "minigpt4-llama2": 64, "minigpt-v2": 256}
    widths = {name: shape.hidden_size for name, shape in SIZES.items()}
    assert widths["7b"] == 4096
    assert widths["13b"] == 5120


def test_models_by_name(tmp_path: Path) -> None:
    tiny = resolve_model("tiny", tmp_path)
    assert tiny.root == (tmp_path / "tiny").resolve()
    before = (tiny.root / INDEX_FILE).stat().st_mtime_ns
    assert resolve_model("tiny", tmp_path).root == tiny.root
    assert (tiny.root / INDEX_FILE).stat().st_mtime_ns == before, "it is written once"
    validate(resolve_model("default", tmp_path))


@pytest.mark.parametrize("part", ["vision", "language_model"])
@pytest.mark.parametrize("size", [0, 5, 20_000])
def test_weights_that_were_cut_short(folder: Path, part: str, size: int) -> None:
    weights = folder / part / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(size)
    message = problem(folder)
    assert str(weights) in message
    assert "again" in message


def test_another_user_may_read_what_the_umask_allows(any_family: ModelFolder) -> None:
    umask = os.umask(0)
    os.umask(umask)
    files = [file for file in any_family.root.rglob("*") if file.is_file()]
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {oct(0o666 & ~umask)}


def test_weights_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = folder / "vision" / "model.safetensors"
    opened = Path.open

    def refusing(file: Path, *arguments: Any, **options: Any) -> Any:
        if file == weights:
            raise PermissionError(13, "Permission denied")
        return opened(file, *arguments, **options)

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(ModelFolderError, match="may not be read by this user"):
        validate(ModelFolder.open(folder))
