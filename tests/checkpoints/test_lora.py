"""MiniGPT-v2's LoRA weights, merged into a new language model."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from service.cli import main
from service.model_folder.layout import ModelFolder
from tests.checkpoints.published import LLAMA_LAYERS, RANK, Published, training_checkpoint
from tests.checkpoints.reference import add_lora

Get = Callable[[str], Published]


def _logits(model: LlamaForCausalLM) -> Tensor:
    with torch.inference_mode():
        return model(torch.arange(3, 40)[None]).logits


def _arguments(files: Published, projection: Path) -> list[str]:
    arguments = list(files.arguments)
    arguments[arguments.index("--projection") + 1] = str(projection)
    return arguments


def _assert_merged(target: Path, files: Published, alpha: float) -> None:
    """The merged model against the base with the update computed beside it, as peft does it."""
    merged = LlamaForCausalLM.from_pretrained(ModelFolder.open(target).language_model)
    base = LlamaForCausalLM.from_pretrained(files.language_model)
    plain = _logits(base)
    add_lora(base, files.trained, alpha)
    wanted, found = _logits(base), _logits(merged)
    assert (found - wanted).abs().max() / wanted.abs().max() < 1e-4
    assert (plain - wanted).abs().max() / wanted.abs().max() > 1e-2


@pytest.mark.parametrize("suffix", ["", ".default"])
def test_minigpt_v2s_lora_is_merged(suffix: str, tmp_path: Path, published: Get) -> None:
    files = published("minigpt-v2")
    trained = {
        name.replace(".weight", f"{suffix}.weight") if "lora_" in name else name: tensor
        for name, tensor in files.trained.items()
    }
    torch.save(training_checkpoint(trained), tmp_path / "v2.pth")
    main(["import", str(tmp_path / "model"), *_arguments(files, tmp_path / "v2.pth")])
    _assert_merged(tmp_path / "model", files, alpha=16)


@pytest.mark.parametrize(("flags", "alpha"), [([], 32), (["--lora-alpha", "8"], 8)])
def test_alpha_is_the_checkpoints_own_unless_given(
    flags: Sequence[str], alpha: float, tmp_path: Path, published: Get
) -> None:
    files = published("minigpt-v2")
    torch.save(training_checkpoint(files.trained, lora_alpha=32), tmp_path / "v2.pth")
    main(["import", str(tmp_path / "model"), *_arguments(files, tmp_path / "v2.pth"), *flags])
    _assert_merged(tmp_path / "model", files, alpha)


@pytest.mark.parametrize("holds_lora", [True, False])
def test_a_language_model_with_lora_in_it_already_is_left_alone(
    holds_lora: bool, tmp_path: Path, published: Get
) -> None:
    files = published("minigpt-v2")
    trained = {name: t for name, t in files.trained.items() if holds_lora or "lora_" not in name}
    torch.save(training_checkpoint(trained), tmp_path / "v2.pth")
    arguments = _arguments(files, tmp_path / "v2.pth")
    main(["import", str(tmp_path / "model"), *arguments, "--merged-already"])
    assert ModelFolder.open(tmp_path / "model").language_model == str(files.language_model)


def test_all_but_the_updated_weights_stay_as_they_are(
    published: Get, imported: Callable[[str], Path]
) -> None:
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


def test_lora_of_another_model_is_refused(tmp_path: Path, published: Get) -> None:
    files = published("minigpt-v2")
    name = "llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    for tensors, message in (
        ({**files.trained, name: torch.ones(RANK, 65)}, "update \\(64, 65\\)"),
        ({key: value for key, value in files.trained.items() if key != name}, "only half"),
    ):
        torch.save(training_checkpoint(tensors), tmp_path / "v2.pth")
        with pytest.raises(SystemExit, match=message):
            main(["import", str(tmp_path / "model"), *_arguments(files, tmp_path / "v2.pth")])
