"""Quantised language models are imported with their configuration, or refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from service.cli import main
from service.engine.flags import model_flags
from service.model_folder.inspection import inspect_folder
from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate
from tests.checkpoints.importing import refuse_import, replace_arguments
from tests.published.files import PublishedFiles
from tests.published.llama_folder import write_llama
from tests.quantised import AUTOGPTQ, write_autogptq, write_awq, write_fp8, write_gptq

Get = Callable[[str], PublishedFiles]
WRITERS = {"gptq": write_gptq, "autogptq": write_autogptq, "awq": write_awq, "fp8": write_fp8}


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    folder = tmp_path / "vicuna-7b"
    write_llama(folder, binary=False)
    return folder


@pytest.mark.parametrize("placement", ["reference", "copy"])
@pytest.mark.parametrize("method", WRITERS)
def test_a_quantised_model_is_imported_whole(
    method: str, placement: str, llama: Path, tmp_path: Path, published: Get
) -> None:
    source, target = tmp_path / "quantised", tmp_path / "model"
    WRITERS[method](llama, source)
    arguments = replace_arguments(published("minigpt4-vicuna").arguments, llm=source)
    main(["import", str(target), *arguments, "--llm-files", placement])
    folder = ModelFolder.open(target)
    validate(folder)
    inspection = inspect_folder(target)
    assert inspection.quantisation is not None
    assert inspection.quantisation.startswith("gptq" if "gptq" in method else method)
    language_model = next(part for part in inspection.parts if part.name == "language model")
    stored = sum(file.stat().st_size for file in source.glob("*.safetensors"))
    assert language_model.served_bytes == pytest.approx(stored, rel=0.25)
    overrides = json.loads(model_flags(folder)["--hf-overrides"])
    old = {"quant_method": "gptq", **AUTOGPTQ}
    assert overrides.get("quantization_config") == (old if method == "autogptq" else None)


def test_the_memory_is_printed_with_the_method(
    llama: Path, tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    write_autogptq(llama, tmp_path / "quantised")
    arguments = replace_arguments(
        published("minigpt4-vicuna").arguments, llm=tmp_path / "quantised"
    )
    main(["import", str(tmp_path / "model"), *arguments])
    assert "quantised: gptq, 4 bits, groups of 32" in capsys.readouterr().out
    main(["inspect", str(tmp_path / "model")])
    assert "quantised (gptq, 4 bits, groups of 32)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("gptq", "self_attn.q_proj.scales"),
        ("awq", "mlp.up_proj.qweight"),
        ("fp8", "mlp.up_proj.weight"),
    ],
)
def test_an_incomplete_model_is_refused(
    method: str, name: str, llama: Path, tmp_path: Path, published: Get
) -> None:
    source = tmp_path / "quantised"
    WRITERS[method](llama, source)
    file = source / "model.safetensors"
    tensors = load_file(file)
    del tensors[f"model.layers.1.{name}"]
    save_file(tensors, file)
    arguments = replace_arguments(published("minigpt4-vicuna").arguments, llm=source)
    assert f"missing: model.layers.1.{name}" in refuse_import(tmp_path / "model", arguments)


def test_a_file_that_cannot_be_read_is_named(llama: Path, tmp_path: Path, published: Get) -> None:
    source = tmp_path / "quantised"
    write_autogptq(llama, source)
    (source / "quantize_config.json").write_text("{")
    arguments = replace_arguments(published("minigpt4-vicuna").arguments, llm=source)
    assert "quantize_config.json" in refuse_import(tmp_path / "model", arguments)
