"""Model folders that a test may change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.model_folder.layout import ModelFolder


@pytest.fixture
def copy_model(tiny_model: Callable[[str], ModelFolder], tmp_path: Path) -> Callable[[str], Path]:
    """Copy the tiny model folder of a family, so that a test can damage the copy."""
    return lambda family: Path(shutil.copytree(tiny_model(family).root, tmp_path / "model"))
