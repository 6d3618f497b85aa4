"""The chart: its values, its versions, and what it shares with the overlays."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import __version__
from tests.deploy.tools import CHART, load_all
from tests.programs import run

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def render(helm: Path, *settings: str) -> list[dict[str, Any]]:
    options = [word for setting in settings for word in ("--set", setting)]
    return load_all(run(helm, "template", "minigpt4-service", CHART, *options))


def pod(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (deployment,) = (item for item in objects if item["kind"] == "Deployment")
    return dict(deployment["spec"]["template"]["spec"])


@pytest.mark.parametrize("values", [[], ["--values", CHART / "examples" / "gpu.yaml"]])
def test_helm_finds_nothing(helm: Path, values: list[str | Path]) -> None:
    run(helm, "lint", "--strict", CHART, *values)


def test_the_chart_has_the_services_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_the_schema_knows_exactly_the_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(values: dict[str, Any], known: dict[str, Any], path: str) -> None:
        assert set(values) | {"global"} == set(known["properties"]) | {"global"}, path
        for name, value in values.items():
            below = known["properties"][name]
            if isinstance(value, dict) and "properties" in below and value:
                compare(value, below, f"{path}.{name}")

    compare(VALUES, schema, "values")


def test_every_value_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        name = line.partition(":")[0]
        group = ("nodeSelector", "tolerations", "affinity", "podAnnotations", "podLabels")
        if name in VALUES and name not in (*group, "image", "networkPolicy"):
            assert lines[number - 1].startswith("#"), name


@pytest.mark.parametrize(
    "wrong",
    [
        *("replica=3", "image.name=x", "device=tpu", "replicas=many", "drainSeconds=-1"),
        *("autoscaling.prometheus=prometheus", "modelsClaim=A b", "networkPolicy.callers=null"),
    ],
)
def test_wrong_values_are_refused(helm: Path, wrong: str) -> None:
    command: list[str | Path] = [helm, "template", "x", CHART, "--set", wrong]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "schema" in done.stderr or "values" in done.stderr


def test_the_grace_period_follows_the_drain(helm: Path) -> None:
    spec = pod(render(helm, "drainSeconds=120"))
    assert "--shutdown-timeout=120" in spec["containers"][0]["args"]
    assert spec["terminationGracePeriodSeconds"] == 150


def test_claims_and_keys_are_mounted_where_the_flags_say(helm: Path) -> None:
    plain = pod(render(helm))["containers"][0]
    assert "--files-mb=0" in plain["args"]
    spec = pod(render(helm, "filesClaim=files", "keysSecret=keys", "modelsClaim=models"))
    mounts = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts >= {"/files", "/keys", "/models"}
    assert {"--files-dir=/files", "--api-keys-file=/keys/keys"} <= set(
        spec["containers"][0]["args"]
    )


def test_image_urls_can_be_turned_off(helm: Path) -> None:
    def rules(*settings: str) -> int:
        policies = [item for item in render(helm, *settings) if item["kind"] == "NetworkPolicy"]
        return len(policies[0]["spec"]["egress"]) if policies else 0

    assert rules() == 2
    assert rules("networkPolicy.imageUrls=false") == 1
    assert rules("networkPolicy.enabled=false") == 0
