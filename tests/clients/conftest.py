"""The service for all clients, and the environments of clients that need their own."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import (
    HERE,
    create_node_environment,
    create_python_environment,
    run_script,
)
from tests.server import ServerProcess

RunScript = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def url(default_service: ServerProcess) -> str:
    """The service's address."""
    return default_service.url


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The interpreter of the environment with this name, made once a session."""
    root = tmp_path_factory.mktemp("python")
    return cache(lambda name: create_python_environment(root / name, name))


@pytest.fixture(scope="session")
def run_python(url: str, interpreter: Callable[[str], Path]) -> RunScript:
    """Runs ``scripts/ENVIRONMENT/FILE``, given as ENVIRONMENT/FILE."""

    def run_in_environment(path: str) -> dict[str, Any]:
        script = HERE / "scripts" / path
        return run_script(interpreter(script.parent.name), script, url)

    return run_in_environment


@pytest.fixture(scope="session")
def run_node(url: str, tmp_path_factory: pytest.TempPathFactory) -> RunScript:
    """Runs a script of ``node/`` by its name."""
    folder = tmp_path_factory.mktemp("node")
    interpreter = create_node_environment(folder)
    return lambda name: run_script(interpreter, folder / name, url)
