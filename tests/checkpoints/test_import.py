"""Writing the folder: whole or not at all, hashed, with the language model where it was asked for."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from service import __version__
from service.checkpoints import import_writer
from service.cli import main
from service.errors import ModelFolderError
from service.model_folder.layout import ModelFolder, ModelIndex
from service.model_folder.validation import validate
from tests.checkpoints.conftest import FAMILIES
from tests.checkpoints.published import (
    Published,
    write_llama,
)

Get = Callable[[str], Published]


def test_every_input_is_hashed(published: Get, imported: Callable[[str], Path]) -> None:
    files = published("minigpt4-vicuna")
    provenance = ModelFolder.open(imported("minigpt4-vicuna")).index.provenance
    assert provenance is not None
    assert provenance.made_by == f"import {__version__}"
    recorded = {source["path"]: source["sha256"] for source in provenance.sources.values()}
    inputs = [files.vit, files.qformer, files.projection, *files.language_model.iterdir()]
    wanted = {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in inputs
        if file is not None
    }
    assert recorded == wanted


def test_the_language_model_is_referenced_linked_or_copied(
    tmp_path: Path, published: Get, imported: Callable[[str], Path]
) -> None:
    files = published("minigpt4-llama2")
    referenced = ModelFolder.open(imported("minigpt4-llama2"))
    assert referenced.language_model == str(files.language_model)
    assert not (referenced.root / "language_model").exists()
    weights = "model-00001-of-00002.safetensors"
    # Hard links need one file system, so the source is put beside the target.
    write_llama(tmp_path / "llm", llama2=True, binary=False)
    arguments = [*files.arguments[:-1], str(tmp_path / "llm")]
    for placement, same_file in (("link", True), ("copy", False)):
        target = tmp_path / placement
        main(["import", str(target), *arguments, "--llm-files", placement])
        placed = Path(ModelFolder.open(target).language_model)
        assert placed == target / "language_model"
        assert placed.joinpath(weights).samefile(tmp_path / "llm" / weights) == same_file
        LlamaForCausalLM.from_pretrained(placed)


def test_a_pickled_language_model_becomes_safetensors(
    published: Get, imported: Callable[[str], Path]
) -> None:
    folder = ModelFolder.open(imported("minigpt4-vicuna"))
    own = Path(folder.language_model)
    assert own == folder.root / "language_model"
    assert not list(own.glob("*.bin"))
    new = LlamaForCausalLM.from_pretrained(own).state_dict()
    old = LlamaForCausalLM.from_pretrained(published("minigpt4-vicuna").language_model).state_dict()
    assert new.keys() == old.keys()
    assert all(torch.equal(tensor, old[name]) for name, tensor in new.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_folder_is_one_that_serve_takes(family: str, imported: Callable[[str], Path]) -> None:
    validate(ModelFolder.open(imported(family)))


def test_a_dry_run_describes_and_writes_nothing(
    tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "model"
    main(["import", str(target), *published("minigpt4-vicuna").arguments, "--dry-run"])
    printed = capsys.readouterr().out
    assert "ViT: 3 layers, width 176, 2 heads" in printed
    assert "Q-Former: 3 layers, width 128, 32 query tokens" in printed
    assert not list(tmp_path.iterdir())


def test_parts_that_the_original_ignores_are_listed(
    tmp_path: Path, published: Get, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["import", str(tmp_path / "m"), *published("minigpt4-vicuna").arguments, "--dry-run"])
    printed = capsys.readouterr().out
    for reason in ("classifier", "text branch", "language-modelling head", "rotary frequencies"):
        assert reason in printed
    assert "warning" not in printed


def test_an_interrupted_import_leaves_nothing(
    tmp_path: Path, published: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(root: Path, index: ModelIndex) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_writer, "write_index", interrupt)
    with pytest.raises(SystemExit) as end:
        main(["import", str(tmp_path / "model"), *published("minigpt4-vicuna").arguments])
    assert end.value.code == 130
    assert not list(tmp_path.iterdir())


def test_a_killed_import_leaves_nothing_that_looks_whole(tmp_path: Path, published: Get) -> None:
    script = (
        "import os, signal, sys\n"
        "from service.checkpoints import import_writer\n"
        "from service.cli import main\n"
        "import_writer.write_index = lambda root, index: os.kill(os.getpid(), signal.SIGKILL)\n"
        "main(sys.argv[1:])\n"
    )
    target = tmp_path / "model"
    command = [sys.executable, "-c", script, "import", str(target)]
    done = subprocess.run([*command, *published("minigpt4-llama2").arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    (hidden,) = tmp_path.iterdir()
    (left_over,) = hidden.iterdir()
    assert left_over.joinpath("vision").is_dir(), "it was killed before it had begun"
    for folder in (hidden, left_over):
        with pytest.raises(ModelFolderError):
            ModelFolder.open(folder)
    main(["import", str(target), *published("minigpt4-llama2").arguments])
    ModelFolder.open(target)


def test_what_another_import_has_under_way_is_left_alone(tmp_path: Path, published: Get) -> None:
    # In a container every process may have this number.
    other = tmp_path / f".model.partial-{os.getpid()}"
    other.mkdir()
    (other / "half").write_text("")
    main(["import", str(tmp_path / "model"), *published("minigpt4-llama2").arguments])
    assert {path.name for path in tmp_path.iterdir()} == {"model", other.name}
    assert (other / "half").exists()
    # Others may read it as the user's umask says, in a container for one.
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_unwritable_place_is_said(tmp_path: Path, published: Get) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="could not be written"):
        main(["import", str(tmp_path / "file" / "m"), *published("minigpt4-llama2").arguments])
