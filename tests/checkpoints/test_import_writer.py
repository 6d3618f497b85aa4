"""The written folder: complete or absent, valid, and with the hashes of its sources."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service import __version__
from service.checkpoints import import_writer
from service.cli import main
from service.errors import ModelFolderError
from service.model_folder.layout import ModelFolder, ModelIndex
from service.model_folder.validation import validate
from tests.published.files import FAMILIES, PublishedFiles

Get = Callable[[str], PublishedFiles]


def test_every_input_is_hashed(published: Get, imported: Callable[[str], Path]) -> None:
    files = published("minigpt4-vicuna")
    provenance = ModelFolder.open(imported("minigpt4-vicuna")).index.provenance
    assert provenance is not None
    assert provenance.made_by == f"import {__version__}"
    recorded = {source["path"]: source["sha256"] for source in provenance.sources.values()}
    inputs = [files.vit, files.qformer, files.projection, *files.language_model.iterdir()]
    expected = {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in inputs
        if file is not None
    }
    assert recorded == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_the_folder_can_be_served(family: str, imported: Callable[[str], Path]) -> None:
    validate(ModelFolder.open(imported(family)))


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


def test_a_killed_import_leaves_no_target(tmp_path: Path, published: Get) -> None:
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
    assert left_over.joinpath("vision").is_dir(), "the import was killed too early"
    for folder in (hidden, left_over):
        with pytest.raises(ModelFolderError):
            ModelFolder.open(folder)
    main(["import", str(target), *published("minigpt4-llama2").arguments])
    ModelFolder.open(target)


def test_the_hidden_folder_of_another_import_is_left_alone(tmp_path: Path, published: Get) -> None:
    # In another container, another import may have the same process id.
    other = tmp_path / f".model.partial-{os.getpid()}"
    other.mkdir()
    (other / "half").write_text("")
    main(["import", str(tmp_path / "model"), *published("minigpt4-llama2").arguments])
    assert {path.name for path in tmp_path.iterdir()} == {"model", other.name}
    assert (other / "half").exists()
    # The folder gets the permissions that the user's umask allows.
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path, published: Get) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="could not be written"):
        main(["import", str(tmp_path / "file" / "m"), *published("minigpt4-llama2").arguments])
