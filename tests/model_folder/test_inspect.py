"""``inspect``: figures that agree with the loaded model, and hashes of what is there."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest
from transformers import LlamaForCausalLM

from service.cli import main
from service.model_folder.inspect import inspect
from service.model_folder.layout import ModelFolder, write_index
from service.vision.weights import load_vision_encoder


def test_figures_agree_with_the_loaded_parts(any_family: ModelFolder) -> None:
    found = inspect(any_family.root)
    encoder = load_vision_encoder(any_family.vision)
    llama = LlamaForCausalLM.from_pretrained(any_family.language_model)
    parameters = {part.name: part.parameters for part in found.parts}
    wanted = {
        "ViT": encoder.vit.num_parameters(),
        "ln_vision": sum(p.numel() for p in encoder.ln_vision.parameters()),
        "projection": sum(p.numel() for p in encoder.projection.parameters()),
        "language model": llama.num_parameters(),
    }
    if any_family.family.uses_qformer:
        wanted["Q-Former"] = encoder.qformer.num_parameters() + encoder.query_tokens.numel()
    assert parameters == wanted
    assert found.weight_bytes == 2 * sum(wanted.values())
    cache = llama(llama.dummy_inputs["input_ids"] % 10, use_cache=True).past_key_values
    values = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert found.cache_bytes_per_token == 2 * values // llama.dummy_inputs["input_ids"].numel()


def test_the_command_prints_what_is_asked_for(
    any_family: ModelFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["inspect", str(any_family.root)])
    printed = capsys.readouterr().out
    digest = hashlib.sha256((any_family.vision / "model.safetensors").read_bytes()).hexdigest()
    for expected in (
        any_family.family.name,
        digest,
        "float32",
        "random weights",
        "MiB of weights",
        "init-model",
    ):
        assert expected.lower() in printed.lower()
    assert re.search(r"language model +[\d,]+ parameters", printed)


def test_a_hub_id_is_named_and_not_counted(
    any_family: ModelFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(any_family.root, tmp_path / "model")
    write_index(folder, any_family.index.model_copy(update={"language_model": "lmsys/vicuna-7b"}))
    main(["inspect", str(folder)])
    printed = capsys.readouterr().out
    assert "lmsys/vicuna-7b" in printed
    assert "which is on the hub" in printed


@pytest.mark.parametrize("lost", ["vision/model.safetensors", "language_model/config.json"])
def test_a_lost_part_is_named(any_family: ModelFolder, tmp_path: Path, lost: str) -> None:
    folder = shutil.copytree(any_family.root, tmp_path / "model")
    (folder / lost).unlink()
    with pytest.raises(SystemExit, match=Path(lost).name):
        main(["inspect", str(folder)])


def test_a_language_model_that_went_away_is_named(any_family: ModelFolder, tmp_path: Path) -> None:
    folder = shutil.copytree(any_family.root, tmp_path / "model")
    gone = str(tmp_path / "gone")
    write_index(folder, any_family.index.model_copy(update={"language_model": gone}))
    with pytest.raises(SystemExit, match="gone is not there any more"):
        main(["inspect", str(folder)])
