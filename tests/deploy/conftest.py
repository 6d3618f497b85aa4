"""The overlays and the chart as a cluster would get them."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.tools import CHART, KUBERNETES, load_all, packed_program
from tests.programs import run

OVERLAYS = [*sorted(path.name for path in (KUBERNETES / "overlays").iterdir()), "import"]
"""What is applied: the overlays, and the pod to import in."""

RELEASES: dict[str, list[str | Path]] = {
    "helm": [],
    "helm-gpu": ["--values", CHART / "examples" / "gpu.yaml"],
}
"""The chart with its own values, and with those of its example."""


def folder(name: str) -> Path:
    return KUBERNETES / name if name == "import" else KUBERNETES / "overlays" / name


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, which keeps its files in a folder of the tests."""
    folder = tmp_path_factory.mktemp("helm")
    for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"):
        os.environ[name] = str(folder)
    return packed_program("helm", folder)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, helm: Path) -> dict[str, list[dict[str, Any]]]:
    """The objects of every overlay and release, by name."""
    kubectl = packed_program("kubectl", tmp_path_factory.mktemp("kubectl"))
    made = {name: load_all(run(kubectl, "kustomize", folder(name))) for name in OVERLAYS}
    for name, options in RELEASES.items():
        made[name] = load_all(run(helm, "template", "minigpt4-service", CHART, *options))
    return made


@pytest.fixture(params=[*OVERLAYS, *RELEASES])
def objects(
    request: pytest.FixtureRequest, built: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The objects of one overlay or release, each in turn."""
    return built[request.param]
