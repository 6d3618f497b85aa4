"""MiniGPT-v2's LoRA weights, merged into a new language model."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from service.model_folder.layout import ModelFolder
from tests.checkpoints.importing import (
    refuse_import,
    replace_arguments,
    run_import,
    save_checkpoint,
)
from tests.published.files import PublishedFiles
from tests.published.original_encoder import add_lora
from tests.published.sizes import LLAMA_LAYERS, RANK

Get = Callable[[str], PublishedFiles]


def _compute_logits(model: LlamaForCausalLM) -> Tensor:
    with torch.inference_mode():
        return model(torch.arange(3, 40)[None]).logits


def _assert_merged(folder: ModelFolder, files: PublishedFiles, alpha: float) -> None:
    """Compare the merged model with the base model plus the update, as in peft."""
    merged = LlamaForCausalLM.from_pretrained(folder.language_model)
    base = LlamaForCausalLM.from_pretrained(files.language_model)
    without = _compute_logits(base)
    add_lora(base, files.trained, alpha)
    expected, logits = _compute_logits(base), _compute_logits(merged)
    assert (logits - expected).abs().max() / expected.abs().max() < 1e-4
    assert (without - expected).abs().max() / expected.abs().max() > 1e-2


@pytest.mark.parametrize("suffix", ["", ".default"])
def test_lora_weights_are_merged(suffix: str, tmp_path: Path, published: Get) -> None:
    files = published("minigpt-v2")
    trained = {
        name.replace(".weight", f"{suffix}.weight") if "lora_" in name else name: tensor
        for name, tensor in files.trained.items()
    }
    checkpoint = save_checkpoint(tmp_path / "v2.pth", trained)
    arguments = replace_arguments(files.arguments, projection=checkpoint)
    _assert_merged(run_import(tmp_path / "model", arguments), files, alpha=16)


@pytest.mark.parametrize(("flags", "alpha"), [([], 32), (["--lora-alpha", "8"], 8)])
def test_alpha_is_given_or_the_checkpoints_own(
    flags: Sequence[str], alpha: float, tmp_path: Path, published: Get
) -> None:
    files = published("minigpt-v2")
    checkpoint = save_checkpoint(tmp_path / "v2.pth", files.trained, lora_alpha=32)
    arguments = replace_arguments(files.arguments, projection=checkpoint)
    _assert_merged(run_import(tmp_path / "model", [*arguments, *flags]), files, alpha)


@pytest.mark.parametrize("holds_lora", [True, False])
def test_a_language_model_with_merged_lora_is_referenced(
    holds_lora: bool, tmp_path: Path, published: Get
) -> None:
    files = published("minigpt-v2")
    trained = {name: t for name, t in files.trained.items() if holds_lora or "lora_" not in name}
    checkpoint = save_checkpoint(tmp_path / "v2.pth", trained)
    arguments = replace_arguments(files.arguments, projection=checkpoint)
    folder = run_import(tmp_path / "model", [*arguments, "--merged-already"])
    assert folder.language_model == str(files.language_model)


def test_only_the_updated_weights_change(published: Get, imported: Callable[[str], Path]) -> None:
    merged = LlamaForCausalLM.from_pretrained(
        ModelFolder.open(imported("minigpt-v2")).language_model
    ).state_dict()
    base = LlamaForCausalLM.from_pretrained(published("minigpt-v2").language_model).state_dict()
    changed = {name for name, tensor in base.items() if not torch.equal(tensor, merged[name])}
    assert changed == {
        f"model.layers.{layer}.self_attn.{part}.weight"
        for layer in range(LLAMA_LAYERS)
        for part in ("q_proj", "v_proj")
    }


def test_lora_weights_of_another_model_are_refused(tmp_path: Path, published: Get) -> None:
    files = published("minigpt-v2")
    name = "llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    half = {key: value for key, value in files.trained.items() if key != name}
    for trained, message in (
        ({**files.trained, name: torch.ones(RANK, 65)}, "update (64, 65)"),
        (half, "only half"),
    ):
        checkpoint = save_checkpoint(tmp_path / "v2.pth", trained)
        arguments = replace_arguments(files.arguments, projection=checkpoint)
        assert message in refuse_import(tmp_path / "model", arguments)
