"""What ``inspect`` prints, and how it names a missing part."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli import main
from service.model_folder.layout import INDEX_FILE, ModelFolder
from tests.model_folder.editing import edit_json


def test_the_facts_of_a_folder_are_printed(
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


def test_a_language_model_on_the_hub_is_named_but_not_counted(
    copy_model: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_model("minigpt4-vicuna")
    edit_json(folder / INDEX_FILE, language_model="lmsys/vicuna-7b")
    main(["inspect", str(folder)])
    printed = capsys.readouterr().out
    assert "lmsys/vicuna-7b" in printed
    assert "which is on the hub" in printed


@pytest.mark.parametrize("missing", ["vision/model.safetensors", "language_model/config.json"])
def test_a_missing_part_is_named(copy_model: Callable[[str], Path], missing: str) -> None:
    folder = copy_model("minigpt4-vicuna")
    (folder / missing).unlink()
    with pytest.raises(SystemExit, match=Path(missing).name):
        main(["inspect", str(folder)])


def test_a_language_model_that_was_deleted_is_named(
    copy_model: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copy_model("minigpt4-vicuna")
    edit_json(folder / INDEX_FILE, language_model=str(tmp_path / "gone"))
    with pytest.raises(SystemExit, match="gone is not there any more"):
        main(["inspect", str(folder)])
