"""A trained projection in the original's layout, and numbered checkpoints as model folders."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from service.cli import main
from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate
from tests.published.files import PublishedFiles
from tests.training.runs import TWO_STEPS, make_trainer

FAMILY = "minigpt4-vicuna"


def read_vision(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "vision" / "model.safetensors")


@pytest.mark.parametrize("variant", ["published", "train-qformer"])
def test_an_exported_file_is_imported_as_the_same_encoder(
    published: Callable[[str], PublishedFiles],
    imported: Callable[[str], Path],
    colours: Path,
    tmp_path: Path,
    variant: str,
) -> None:
    trainer = make_trainer(imported(FAMILY), colours, tmp_path / "run", TWO_STEPS, variant)  # type: ignore[arg-type]
    trained = trainer.run()
    flags = ["--qformer"] if variant == "train-qformer" else []
    main(["export", "--model", str(trained), "--out", str(tmp_path / "mine.pth"), *flags])
    files = published(FAMILY)
    changed = PublishedFiles(**{**vars(files), "projection": tmp_path / "mine.pth"})
    main(["import", str(tmp_path / "again"), *changed.arguments])
    expected, found = read_vision(trained), read_vision(tmp_path / "again")
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_a_numbered_checkpoint_becomes_a_model_folder(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(tiny_folder, colours, tmp_path / "run", TWO_STEPS, keep_every=1)
    trained = trainer.run()
    first = tmp_path / "run" / "checkpoints" / "step-000001.safetensors"
    out = tmp_path / "first"
    main(["export", "--model", str(trained), "--projection", str(first), "--out", str(out)])
    validate(ModelFolder.open(out))
    assert torch.equal(read_vision(out)["projection.weight"], load_file(first)["projection.weight"])
    assert not torch.equal(
        read_vision(out)["projection.weight"], read_vision(trained)["projection.weight"]
    )


def test_a_projection_of_three_layers_has_no_place_in_the_originals_layout(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    trained = make_trainer(tiny_folder, colours, tmp_path / "run", TWO_STEPS, "three-layers").run()
    with pytest.raises(SystemExit) as stopped:
        main(["export", "--model", str(trained), "--out", str(tmp_path / "mine.pth")])
    assert "a projection of 3 layers" in str(stopped.value)


@pytest.mark.parametrize(
    ("out", "projection", "expected"),
    [
        ("run/model", None, "would be overwritten"),
        ("x.pth", "none.safetensors", "cannot be read as safetensors"),
    ],
)
def test_an_export_that_cannot_be_is_refused_in_one_line(
    tiny_folder: Path,
    tmp_path: Path,
    out: str,
    projection: str | None,
    expected: str,
) -> None:
    target = tiny_folder if out == "run/model" else tmp_path / out
    given = ["--projection", str(tmp_path / projection)] if projection else []
    with pytest.raises(SystemExit) as stopped:
        main(["export", "--model", str(tiny_folder), "--out", str(target), *given])
    assert expected in str(stopped.value)
    assert "\n" not in str(stopped.value)
