"""Imports by the command line, as tests need them."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.cli import main
from service.model_folder.layout import ModelFolder
from tests.published.encoder_files import make_training_checkpoint


def run_import(target: Path, arguments: Sequence[str]) -> ModelFolder:
    """Import into ``target`` and open the new folder."""
    main(["import", str(target), *arguments])
    return ModelFolder.open(target)


def refuse_import(target: Path, arguments: Sequence[str]) -> str:
    """Run an import that must fail and write nothing; return its message."""
    with pytest.raises(SystemExit) as exit_:
        main(["import", str(target), *arguments])
    assert not target.exists()
    assert not list(target.parent.glob(f".{target.name}*"))
    return str(exit_.value)


def collect_warnings(
    capsys: pytest.CaptureFixture[str], target: Path, arguments: Sequence[str]
) -> str:
    """Run an import that must succeed; return its warnings, which the folder must hold as well."""
    folder = run_import(target, arguments)
    lines = capsys.readouterr().out.splitlines()
    warnings = [line.split("warning: ")[1] for line in lines if "warning: " in line]
    assert folder.index.provenance is not None
    assert folder.index.provenance.notes == warnings
    return "\n".join(warnings)


def replace_arguments(arguments: Sequence[str], **changes: Path | None) -> list[str]:
    """Replace values of a command line; None removes the flag."""
    words = list(arguments)
    for name, value in changes.items():
        position = words.index(f"--{name}")
        words[position : position + 2] = [] if value is None else [f"--{name}", str(value)]
    return words


def save_checkpoint(file: Path, tensors: dict[str, Tensor], **options: object) -> Path:
    """Save a training checkpoint."""
    torch.save(make_training_checkpoint(tensors, **options), file)  # type: ignore[arg-type]
    return file
