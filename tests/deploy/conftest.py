"""The overlays as a cluster would get them."""

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.tools import KUBERNETES, kubectl, load_all
from tests.programs import run

OVERLAYS = [*sorted(path.name for path in (KUBERNETES / "overlays").iterdir()), "import"]
"""What is applied: the overlays, and the pod to import in."""


def folder(name: str) -> Path:
    return KUBERNETES / name if name == "import" else KUBERNETES / "overlays" / name


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Every overlay's objects, by overlay."""
    program = kubectl(tmp_path_factory.mktemp("kubectl"))
    return {name: load_all(run(program, "kustomize", folder(name))) for name in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def objects(
    request: pytest.FixtureRequest, built: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """One overlay's objects, each overlay in turn."""
    return built[request.param]
