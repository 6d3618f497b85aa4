"""Fixtures for all tests: model folders of every family, and two running services a session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.checkpoints.random_model import init_model
from service.cli import main
from service.families import FAMILIES
from service.model_folder.layout import ModelFolder
from service.serve.builtin_models import DEFAULT
from tests.container import link_programs_without_compilers
from tests.published.files import PublishedFiles, publish
from tests.server import ServerProcess


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelFolder]:
    """Random tiny model folders by family, made once a session."""
    root = tmp_path_factory.mktemp("models")

    def make(family: str) -> ModelFolder:
        folder = root / family
        if not folder.exists():
            init_model(folder, family, "tiny")
        return ModelFolder.open(folder)

    return make


@pytest.fixture(params=FAMILIES)
def any_family(
    request: pytest.FixtureRequest, tiny_model: Callable[[str], ModelFolder]
) -> ModelFolder:
    """A tiny model folder of each family in turn."""
    return tiny_model(request.param)


@pytest.fixture(scope="session")
def path_without_compiler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with this machine's programs except its compilers: the container has none."""
    folder = tmp_path_factory.mktemp("bin")
    link_programs_without_compilers(folder)
    return str(folder)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], PublishedFiles]:
    """Small checkpoints by family in the published layouts, made once a session; read-only."""
    made: dict[str, PublishedFiles] = {}

    def get(family: str) -> PublishedFiles:
        if family not in made:
            made[family] = publish(tmp_path_factory.mktemp(family), family)
        return made[family]

    return get


@pytest.fixture(scope="session")
def imported(
    published: Callable[[str], PublishedFiles], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Model folders by family, made from ``published`` by the command line; read-only."""
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            folder = tmp_path_factory.mktemp("imported") / family
            main(["import", str(folder), *published(family).arguments])
            made[family] = folder
        return made[family]

    return get


@pytest.fixture(scope="session")
def server(
    tiny_model: Callable[[str], ModelFolder],
    path_without_compiler: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServerProcess]:
    """The service with the tiny Vicuna-family model in float32, one for the session."""
    folder: Path = tiny_model("minigpt4-vicuna").root
    process = ServerProcess(
        folder,
        flags=["--dtype", "float32"],
        environment={
            "PATH": path_without_compiler,
            "MINIGPT4_IMAGES_PER_PROMPT": "4",
            "MINIGPT4_IMAGE_ALLOW_PRIVATE_ADDRESSES": "true",
            "MINIGPT4_IMAGE_FETCH_TIMEOUT": "1",
            "MINIGPT4_IMAGE_EMBEDDINGS_INPUT": "true",
            "MINIGPT4_FILES_DIR": str(tmp_path_factory.mktemp("files")),
        },
    )
    try:
        yield process.start()
    finally:
        process.stop()


@pytest.fixture(scope="session")
def default_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """``python -m service serve`` as a newcomer starts it, with the default model."""
    files = {"MINIGPT4_FILES_DIR": str(tmp_path_factory.mktemp("default-files"))}
    process = ServerProcess(Path(DEFAULT), environment=files)
    try:
        yield process.start()
    finally:
        process.stop()
