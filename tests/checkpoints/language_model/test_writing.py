"""The language model in a new folder: referenced, linked, copied, or converted from pickles."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from service.model_folder.layout import ModelFolder
from tests.checkpoints.importing import replace_arguments, run_import
from tests.published.files import PublishedFiles
from tests.published.llama_folder import write_llama

Get = Callable[[str], PublishedFiles]


def test_a_language_model_is_referenced_linked_or_copied(
    tmp_path: Path, published: Get, imported: Callable[[str], Path]
) -> None:
    files = published("minigpt4-llama2")
    referenced = ModelFolder.open(imported("minigpt4-llama2"))
    assert referenced.language_model == str(files.language_model)
    assert not (referenced.root / "language_model").exists()
    weights = "model-00001-of-00002.safetensors"
    # Hard links need one file system, so the source is written beside the target.
    source = tmp_path / "llm"
    write_llama(source, llama2=True, binary=False)
    arguments = replace_arguments(files.arguments, llm=source)
    for placement, is_same_file in (("link", True), ("copy", False)):
        target = tmp_path / placement
        folder = run_import(target, [*arguments, "--llm-files", placement])
        placed = Path(folder.language_model)
        assert placed == target / "language_model"
        assert placed.joinpath(weights).samefile(source / weights) == is_same_file
        LlamaForCausalLM.from_pretrained(placed)


def test_a_pickled_language_model_is_converted_to_safetensors(
    published: Get, imported: Callable[[str], Path]
) -> None:
    folder = ModelFolder.open(imported("minigpt4-vicuna"))
    converted = Path(folder.language_model)
    assert converted == folder.root / "language_model"
    assert not list(converted.glob("*.bin"))
    new = LlamaForCausalLM.from_pretrained(converted).state_dict()
    old = LlamaForCausalLM.from_pretrained(published("minigpt4-vicuna").language_model).state_dict()
    assert new.keys() == old.keys()
    assert all(torch.equal(tensor, old[name]) for name, tensor in new.items())
