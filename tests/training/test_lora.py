"""LoRA beside the projection: what learns, what is saved, and what a run resumes."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.training import lora
from service.training.lora import LoraSettings
from service.training.model import AlignmentModel
from service.training.presets import PRESETS
from service.training.samples import Turn
from service.training.tokenization import tokenize_sample
from tests.training.runs import TWO_STEPS, around_image, make_trainer

SETTINGS = LoraSettings(rank=4, alpha=8, dropout=0.5)
STAGE = replace(TWO_STEPS, learning_rate=0.05)
SAMPLE = around_image([1, 400], [401], [300, 301, 302])


def load(folder: Path, seed: int = 0) -> AlignmentModel:
    return AlignmentModel.load(ModelFolder.open(folder), lora=SETTINGS, seed=seed)


def compute_loss(model: AlignmentModel) -> float:
    with model.evaluating():
        return float(model.loss(torch.zeros(1, 224, 224, 3, dtype=torch.uint8), [SAMPLE]))


def test_the_adapter_of_a_run_is_read_by_peft(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(tiny_folder, colours, tmp_path / "run", STAGE, lora=SETTINGS)
    finished = trainer.run()
    names = {name.split(".lora_")[0] for name in trainer.model.trained if "lora" in name}
    assert {name.rsplit(".", 1)[1] for name in names} == {"q_proj", "v_proj"}
    assert not any(
        "lora" in name for name in load_file(tmp_path / "run" / "projection.safetensors")
    )
    settings = json.loads((finished / "adapter" / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (4, 8)
    assert {file.name for file in (finished / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    plain = LlamaForCausalLM.from_pretrained(ModelFolder.open(finished).language_model)
    adapted = PeftModel.from_pretrained(plain, finished / "adapter")
    ids = torch.tensor([[1, 400, 401]])
    with torch.no_grad(), trainer.model.evaluating():
        expected = trainer.model.language_model(ids).logits
        torch.testing.assert_close(adapted(ids).logits, expected)
        with adapted.disable_adapter():
            assert not torch.equal(adapted(ids).logits, expected)


def test_a_run_resumes_its_adapter(tiny_folder: Path, colours: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trainer = make_trainer(tiny_folder, colours, out, STAGE, lora=SETTINGS)
    trainer.run()
    again = make_trainer(tiny_folder, colours, out, STAGE, lora=SETTINGS)
    assert again.state.resume(again.sources) == 2
    for name, tensor in trainer.model.state().items():
        assert torch.equal(again.model.state()[name], tensor)
    fresh = load(tiny_folder)
    fresh.load_projection(out / "checkpoints" / "step-000002.safetensors")
    assert compute_loss(fresh) == pytest.approx(compute_loss(again.model))


def test_a_new_adapter_changes_nothing_and_starts_from_its_seed(tiny_folder: Path) -> None:
    plain = AlignmentModel.load(ModelFolder.open(tiny_folder))
    first, second, other = load(tiny_folder), load(tiny_folder), load(tiny_folder, seed=1)
    assert compute_loss(first) == pytest.approx(compute_loss(plain))
    for name, tensor in first.state().items():
        assert torch.equal(second.state()[name], tensor)
    assert any(not torch.equal(other.state()[n], t) for n, t in first.state().items())


def test_a_run_with_lora_starts_from_a_projection_of_a_run_without(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    make_trainer(tiny_folder, colours, tmp_path / "run", TWO_STEPS).run()
    file = tmp_path / "run" / "projection.safetensors"
    model = load(tiny_folder)
    model.load_projection(file)
    for name, tensor in load_file(file).items():
        assert torch.equal(model.state()[name], tensor)


def test_dropout_is_active_in_training_only(tiny_folder: Path) -> None:
    model = load(tiny_folder)
    dropouts = [m for n, m in model.language_model.named_modules() if "lora_dropout" in n]
    assert {module.training for module in dropouts} == {True}
    assert not model.language_model.model.layers[0].mlp.training
    with model.evaluating():
        assert {module.training for module in dropouts} == {False}
    assert compute_loss(model) == compute_loss(model)


def test_a_text_without_an_image_teaches_the_adapter(tiny_folder: Path) -> None:
    model = load(tiny_folder)
    turns = (Turn(("Hello.",), "Hi."),)
    sample = tokenize_sample(
        model.tokenizer, model.folder.family, PRESETS["stage2"], turns, random.Random(0)
    )
    model.loss(torch.zeros(0, 224, 224, 3, dtype=torch.uint8), [sample]).backward()
    gradients = {name: parameter.grad for name, parameter in model.trained.items()}
    assert float(gradients["projection.weight"].abs().sum()) == 0  # type: ignore[union-attr]
    assert any(
        g is not None and float(g.abs().sum()) > 0 for n, g in gradients.items() if "lora_B" in n
    )


def test_lora_without_peft_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(
        AlignmentError, match=r"needs peft: pip install 'minigpt4-service\[train\]'"
    ):
        lora.check_lora()
