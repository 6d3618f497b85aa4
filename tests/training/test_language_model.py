"""A language model that is not complete is refused in one line that names the fault."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from service.errors import AlignmentError
from service.training.language_model import load_language_model

CPU = torch.device("cpu")


@pytest.fixture
def llama(tiny_folder: Path, tmp_path: Path) -> Path:
    """A folder that a test may damage."""
    return shutil.copytree(tiny_folder / "language_model", tmp_path / "llama")


def refuse(folder: Path) -> str:
    """Load a folder, which must fail; returns the message."""
    with pytest.raises(AlignmentError) as error:
        load_language_model(str(folder), torch.float32, CPU)
    message = str(error.value)
    assert message.startswith(f"The language model {folder} ")
    assert "\n" not in message
    return message


def replace_tensors(folder: Path, **tensors: torch.Tensor | None) -> None:
    file = folder / "model.safetensors"
    wanted = load_file(file) | {name.replace("__", "."): t for name, t in tensors.items()}
    save_file({n: t for n, t in wanted.items() if t is not None}, file, metadata={"format": "pt"})


def configure(folder: Path, **fields: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_missing_tensors_are_named_and_not_random(llama: Path) -> None:
    replace_tensors(llama, model__norm__weight=None, lm_head__weight=None)
    assert "lacks lm_head.weight, model.norm.weight." in refuse(llama)


def test_a_tensor_of_another_shape_is_named(llama: Path) -> None:
    replace_tensors(llama, model__norm__weight=torch.zeros(4))
    assert "model.norm.weight is (4,), not (128,)" in refuse(llama)


def test_a_tied_output_layer_is_not_missing(llama: Path) -> None:
    configure(llama, tie_word_embeddings=True)
    replace_tensors(llama, lm_head__weight=None)
    loaded = load_language_model(str(llama), torch.float32, CPU)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_quantised_model_is_refused(llama: Path) -> None:
    configure(llama, quantization_config={"quant_method": "gptq", "bits": 4})
    assert "is quantised (quantization_config" in refuse(llama)


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    refuse(tmp_path)
