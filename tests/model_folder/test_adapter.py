"""LoRA adapters: what fits the served language model, and what is refused with a reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from service.errors import AdapterError
from service.model_folder.adapter import CONFIG_FILE, WEIGHTS_FILE, check_adapter
from service.model_folder.layout import ModelFolder
from tests.adapters import write_adapter


@pytest.fixture
def language_model(tiny_model: Callable[[str], ModelFolder]) -> Path:
    return Path(tiny_model("minigpt4-vicuna").language_model)


@pytest.fixture
def adapter(language_model: Path, tmp_path: Path) -> Path:
    return write_adapter(language_model, tmp_path / "adapter")


@pytest.fixture
def config(language_model: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((language_model / "config.json").read_text())
    return facts


def test_an_adapter_that_fits_passes(adapter: Path, config: dict[str, Any]) -> None:
    check_adapter(adapter, config, max_rank=4)


def test_a_rank_above_the_limit_is_refused(adapter: Path, config: dict[str, Any]) -> None:
    with pytest.raises(AdapterError, match="--max-lora-rank 2"):
        check_adapter(adapter, config, max_rank=2)


@pytest.mark.parametrize("name", ["hidden_size", "num_hidden_layers"])
def test_an_adapter_of_another_language_model_is_refused(
    adapter: Path, config: dict[str, Any], name: str
) -> None:
    with pytest.raises(AdapterError, match="another language model"):
        check_adapter(adapter, {**config, name: 1}, max_rank=16)


def test_other_tensors_are_refused(adapter: Path, config: dict[str, Any]) -> None:
    tensors = load_file(adapter / WEIGHTS_FILE)
    first = next(iter(tensors.values()))
    save_file({"base_model.model.lm_head.lora_A.weight": first}, adapter / WEIGHTS_FILE)
    with pytest.raises(AdapterError, match="cannot take"):
        check_adapter(adapter, config, max_rank=16)


@pytest.mark.parametrize("text", ["{", "[]", '{"peft_type": "IA3", "r": 4}', '{"r": 4}'])
def test_another_configuration_is_refused(adapter: Path, config: dict[str, Any], text: str) -> None:
    (adapter / CONFIG_FILE).write_text(text)
    with pytest.raises(AdapterError):
        check_adapter(adapter, config, max_rank=16)


def test_a_missing_file_is_refused(adapter: Path, config: dict[str, Any], tmp_path: Path) -> None:
    (adapter / WEIGHTS_FILE).unlink()
    for folder in (adapter, tmp_path):
        with pytest.raises(AdapterError):
            check_adapter(folder, config, max_rank=16)
