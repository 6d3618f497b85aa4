"""Published files of each family, made once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from service.cli import main
from tests.checkpoints.published import Published, publish

FAMILIES = ("minigpt4-vicuna", "minigpt4-llama2", "minigpt-v2")


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors here are so small that handing them to threads costs several times the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Published]:
    """Files of a family; read-only, shared by all tests."""
    made: dict[str, Published] = {}

    def get(family: str) -> Published:
        if family not in made:
            made[family] = publish(tmp_path_factory.mktemp(family), family)
        return made[family]

    return get


@pytest.fixture(scope="session")
def imported(
    published: Callable[[str], Published], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Model folder of a family, imported by the command line; read-only."""
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            folder = tmp_path_factory.mktemp("imported") / family
            main(["import", str(folder), *published(family).arguments])
            made[family] = folder
        return made[family]

    return get
