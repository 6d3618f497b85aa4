"""Every overlay's objects are ones that a cluster takes, and fit the service they run."""

import copy
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from service import __version__
from service.engine.arguments import vllm_flags
from service.http.lifecycle import PROBES
from service.model_folder.layout import ModelFolder
from service.settings import Settings
from tests.deploy.tools import ROOT, program, run

KUBERNETES_VERSION = "1.37"
SCHEMAS = Path(__file__).parent / "schemas"
OWN = {path.stem for path in SCHEMAS.glob("*.json")}
GENERATED = {"HTTPRoute", "ScaledObject", "ServiceMonitor"}
"""Kinds that tests/deploy/crds/check.mjs knows."""

Object = dict[str, Any]


def pod_specs(objects: list[Object]) -> Iterator[Object]:
    """The pods that run this service's image."""
    for item in objects:
        templates = []
        if item["kind"] == "Deployment":
            templates = [item["spec"]["template"]]
        elif item["kind"] == "LeaderWorkerSet":
            group = item["spec"]["leaderWorkerTemplate"]
            templates = [group["leaderTemplate"], group["workerTemplate"]]
        for template in templates:
            if "minigpt4-service" in template["spec"]["containers"][0]["image"]:
                yield template


def check_own(item: Object) -> None:
    """An object of a kind with a schema of ours, its pod templates included."""
    jsonschema.validate(item, json.loads((SCHEMAS / f"{item['kind']}.json").read_text()))
    for template in pod_specs([item]):
        pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template)}
        pod["metadata"]["name"] = "checked"
        kubernetes_validate.validate(pod, KUBERNETES_VERSION, strict=True)


def check_core(item: Object) -> None:
    """An object of Kubernetes' own."""
    kubernetes_validate.validate(item, KUBERNETES_VERSION, strict=True)


@pytest.fixture(scope="session")
def crds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated validators, installed."""
    folder = tmp_path_factory.mktemp("crds")
    for file in (Path(__file__).parent / "crds").iterdir():
        (folder / file.name).write_text(file.read_text())
    run(program("npm"), "ci", "--no-audit", "--no-fund", "--silent", cwd=folder)
    return folder


def check_generated(crds: Path, items: list[Object]) -> subprocess.CompletedProcess[str]:
    """Run the validators over objects of the kinds they know."""
    command = [program("node"), "check.mjs"]
    return subprocess.run(
        command, input=json.dumps(items), cwd=crds, capture_output=True, text=True, check=False
    )


def test_objects_fit_their_schemas(objects: list[Object], crds: Path) -> None:
    for item in objects:
        if item["kind"] in OWN:
            check_own(item)
        elif item["kind"] not in GENERATED:
            check_core(item)
    custom = [item for item in objects if item["kind"] in GENERATED]
    result = check_generated(crds, custom)
    assert result.returncode == 0, result.stderr


def test_schemas_refuse_what_is_wrong(built: dict[str, list[Object]], crds: Path) -> None:
    by_kind = {item["kind"]: copy.deepcopy(item) for items in built.values() for item in items}
    by_kind["InferencePool"]["spec"]["extensionRef"] = {"name": "an older field"}
    by_kind["LeaderWorkerSet"]["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"][
        "containers"
    ][0]["comand"] = []
    by_kind["Deployment"]["spec"]["replica"] = 2
    for kind in ("InferencePool", "LeaderWorkerSet"):
        with pytest.raises(jsonschema.ValidationError):
            check_own(by_kind[kind])
    with pytest.raises(jsonschema.ValidationError):
        check_core(by_kind["Deployment"])
    del by_kind["ScaledObject"]["spec"]["scaleTargetRef"]
    by_kind["HTTPRoute"]["spec"]["rules"][0]["timeouts"] = {"request": 0}
    del by_kind["ServiceMonitor"]["spec"]["selector"]
    result = check_generated(crds, [by_kind[kind] for kind in sorted(GENERATED)])
    assert result.returncode == 1
    assert all(kind in result.stderr for kind in GENERATED)


def test_pods_are_restricted_and_find_what_they_write_to(objects: list[Object]) -> None:
    pods = [template["spec"] for template in pod_specs(objects)]
    assert pods
    for pod in pods:
        container = pod["containers"][0]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/tmp", "/var/cache/minigpt4", "/dev/shm"} <= mounts
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_service_links_do_not_reach_the_settings(objects: list[Object]) -> None:
    """A Service named minigpt4-service would set MINIGPT4_SERVICE_PORT, an unknown setting."""
    assert all(template["spec"]["enableServiceLinks"] is False for template in pod_specs(objects))


def test_the_drain_fits_the_grace_period(
    objects: list[Object], tiny_model: Callable[[str], ModelFolder]
) -> None:
    flags = vllm_flags(tiny_model("minigpt4-vicuna"), Settings(), "name", [], cpu=False)
    drain = int(flags[flags.index("--shutdown-timeout") + 1])
    for template in pod_specs(objects):
        container = template["spec"]["containers"][0]
        if "lifecycle" in container:
            wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert wait + drain < template["spec"]["terminationGracePeriodSeconds"]


def test_probes_ask_routes_that_answer_before_and_while_draining(objects: list[Object]) -> None:
    for template in pod_specs(objects):
        container = template["spec"]["containers"][0]
        probes = {name: probe for name, probe in container.items() if name.endswith("Probe")}
        assert {probe["httpGet"]["path"] for probe in probes.values()} <= PROBES
        if probes:
            assert probes["readinessProbe"]["httpGet"]["path"] == "/ready"
            assert probes["livenessProbe"]["httpGet"]["path"] == "/health"


def selected(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def test_selectors_find_the_servers_and_nothing_else(built: dict[str, list[Object]]) -> None:
    items = {
        (item["kind"], item["metadata"]["name"]): item["spec"]
        for item in built["gpu"]
        if "spec" in item
    }
    server = items["Deployment", "minigpt4-service"]["template"]["metadata"]["labels"]
    picker = items["Deployment", "minigpt4-picker"]["template"]["metadata"]["labels"]
    selectors = [
        items["Service", "minigpt4-service"]["selector"],
        items["PodDisruptionBudget", "minigpt4-service"]["selector"]["matchLabels"],
        items["NetworkPolicy", "minigpt4-service"]["podSelector"]["matchLabels"],
        items["InferencePool", "minigpt4-service"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selected(selector, server)
        assert not selected(selector, picker)
    dns = items["NetworkPolicy", "minigpt4-service"]["egress"][0]["to"][0]["podSelector"]
    assert dns == {"matchLabels": {"k8s-app": "kube-dns"}}


def test_the_scaler_alone_decides_on_replicas(built: dict[str, list[Object]]) -> None:
    (deployment,) = (
        item
        for item in built["gpu-autoscaled"]
        if item["kind"] == "Deployment" and item["metadata"]["name"] == "minigpt4-service"
    )
    assert "replicas" not in deployment["spec"]


def test_images_are_this_version(objects: list[Object]) -> None:
    for template in pod_specs(objects):
        image = template["spec"]["containers"][0]["image"]
        assert image.partition(":")[2] in {f"{__version__}-cpu", f"{__version__}-cuda"}, image


def test_the_route_does_not_cut_streams(built: dict[str, list[Object]]) -> None:
    (route,) = (item for item in built["gpu"] if item["kind"] == "HTTPRoute")
    api = route["spec"]["rules"][0]
    assert api["matches"][0]["path"]["value"] == "/v1"
    assert api["timeouts"]["request"] == "0s"


def test_every_file_of_the_overlays_is_used() -> None:
    folder = ROOT / "deploy" / "kubernetes"
    named: set[Path] = set()
    for file in folder.rglob("kustomization.yaml"):
        text = yaml.safe_load(file.read_text())
        listed = [*text.get("resources", []), *text.get("components", [])]
        listed += [patch["path"] for patch in text.get("patches", []) if "path" in patch]
        listed += [name for item in text.get("configMapGenerator", []) for name in item["files"]]
        named |= {(file.parent / name).resolve() for name in listed}
    unused = {
        path
        for path in folder.rglob("*.yaml")
        if path.name != "kustomization.yaml" and path.resolve() not in named
    }
    assert not unused
