"""A cluster accepts the objects of all overlays, and they fit the service."""

import argparse
import copy
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from service import __version__
from service.api.middleware.gate import PROBES
from service.engine.flags import vllm_flags
from service.model_folder.layout import ModelFolder
from service.serve.arguments import add_arguments, given_settings, given_vllm_flags
from service.serve.vllm_arguments import parse_vllm_flags
from service.settings import load_settings
from tests.deploy.tools import ROOT, series
from tests.programs import program, run
from tests.server import ServerProcess

KUBERNETES_VERSION = "1.37"
SCHEMAS = Path(__file__).parent / "schemas"
OWN = {path.stem for path in SCHEMAS.glob("*.json")}
GENERATED = {"HTTPRoute", "PrometheusRule", "ScaledObject", "ServiceMonitor"}
"""Kinds that tests/deploy/crds/check.mjs knows."""

ENGINE_END = 5
"""Seconds that the engine may take to end, after the drain."""

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
        elif item["kind"] == "Pod":
            templates = [item]
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


def test_the_chart_installs_its_rules_and_scaler(built: dict[str, list[Object]]) -> None:
    kinds = {item["kind"] for item in built["helm-gpu"]}
    assert kinds >= GENERATED
    (rules,) = (item for item in built["helm-gpu"] if item["kind"] == "PrometheusRule")
    assert rules["spec"]["groups"]
    (deployment,) = (item for item in built["helm-gpu"] if item["kind"] == "Deployment")
    assert "replicas" not in deployment["spec"]


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
    del by_kind["PrometheusRule"]["spec"]["groups"][0]["name"]
    result = check_generated(crds, [by_kind[kind] for kind in sorted(GENERATED)])
    assert result.returncode == 1
    assert all(kind in result.stderr for kind in GENERATED)


def test_pods_are_restricted_and_have_all_writable_folders(objects: list[Object]) -> None:
    pods = [template["spec"] for template in pod_specs(objects)]
    assert pods
    for pod in pods:
        container = pod["containers"][0]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        serves = container.get("command") != ["sleep", "infinity"]
        assert {"/tmp", "/var/cache/minigpt4"} | ({"/dev/shm"} if serves else set()) <= mounts
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_no_service_links_in_the_environment(objects: list[Object]) -> None:
    assert all(template["spec"]["enableServiceLinks"] is False for template in pod_specs(objects))


def flags_of(folder: ModelFolder, container: Object) -> list[str]:
    """Return vLLM's flags for a container's arguments, checked by the parsers of ``serve``."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser)
    arguments, unknown = parser.parse_known_args(container.get("args", []))
    arguments.vllm_flags = unknown
    settings = load_settings(None, **given_settings(arguments))
    flags = given_vllm_flags(arguments)
    # What the cluster fills in.
    flags = [flag.replace("$(LWS_GROUP_SIZE)", "2") for flag in flags]
    flags = [flag.replace("$(LWS_WORKER_INDEX)", "0") for flag in flags]
    parse_vllm_flags(folder, settings, flags)
    return vllm_flags(folder, settings, "name", flags, cpu=False)


def serving(objects: list[Object]) -> Iterator[Object]:
    """Pods whose container runs the image's own entry point, ``serve``."""
    for template in pod_specs(objects):
        if "command" not in template["spec"]["containers"][0]:
            yield template


def test_the_service_takes_the_arguments_and_the_drain_fits_the_grace_period(
    objects: list[Object], tiny_model: Callable[[str], ModelFolder]
) -> None:
    for template in serving(objects):
        container = template["spec"]["containers"][0]
        flags = flags_of(tiny_model("minigpt4-vicuna"), container)
        words = [part for flag in flags for part in flag.split("=", 1)]
        drain = int(words[words.index("--shutdown-timeout") + 1])
        wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert wait + drain + ENGINE_END < template["spec"]["terminationGracePeriodSeconds"]


def test_a_groups_members_build_the_same_engine(
    built: dict[str, list[Object]], tiny_model: Callable[[str], ModelFolder]
) -> None:
    leader, worker = (
        template["spec"]["containers"][0] for template in pod_specs(built["gpu-multinode"])
    )
    served = flags_of(tiny_model("minigpt4-vicuna"), leader)
    for name in ("--limit-mm-per-prompt", "--mm-processor-cache-gb"):
        assert f"{name}={served[served.index(name) + 1]}" in worker["args"]
    (model,) = re.findall(r"vllm-command ([^\s)]+)\)", " ".join(worker["args"]))
    assert f"--model={model}" in leader["args"]
    own = {word for word in worker["args"] if word.startswith("--")} - {"--headless"}
    shared = {word for word in own if "mm-" not in word}
    assert shared <= set(leader["args"])


def test_the_shell_does_not_change_a_workers_arguments(
    built: dict[str, list[Object]], tmp_path: Path
) -> None:
    _, worker = (
        template["spec"]["containers"][0] for template in pod_specs(built["gpu-multinode"])
    )
    stub = tmp_path / "minigpt4-service"
    # In place of vLLM, a program that prints its arguments; a value with a blank, as a folder may
    # have one.
    stub.write_text("#!/bin/sh\necho \"A=b printf '%s\\\\n' 'a folder'\"\n")
    stub.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    line = [*worker["command"], *worker["args"]]
    ran = subprocess.run(line, env={"PATH": path}, capture_output=True, text=True, check=True)
    script, _name, *flags = worker["args"]
    assert ran.stdout.splitlines() == ["a folder", *flags], script


def test_probes_use_routes_that_answer_before_and_during_a_drain(objects: list[Object]) -> None:
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


def rule_for(built: dict[str, list[Object]], path: str) -> Object | None:
    """The rule of the route that takes ``path``: an exact match, or else the longest prefix."""
    (route,) = (item for item in built["gpu"] if item["kind"] == "HTTPRoute")
    matching = [
        (match["path"]["type"] == "Exact", len(match["path"]["value"]), rule)
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
        if match["path"]["value"] == path
        or (match["path"]["type"] == "PathPrefix" and path.startswith(match["path"]["value"] + "/"))
    ]
    return max(matching, key=lambda found: found[:2])[2] if matching else None


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/files"])
def test_the_route_does_not_cut_streams(built: dict[str, list[Object]], path: str) -> None:
    rule = rule_for(built, path)
    assert rule is not None
    assert rule["timeouts"]["request"] == "0s"


def test_only_readable_requests_go_through_the_endpoint_picker(
    built: dict[str, list[Object]],
) -> None:
    def backend(path: str) -> str:
        rule = rule_for(built, path)
        return str(rule["backendRefs"][0].get("kind", "Service")) if rule else "nothing"

    assert backend("/v1/chat/completions") == "InferencePool"
    for path in ("/v1/files", "/v1/image_embeddings", "/v1/responses", "/v1/models", "/tokenize"):
        assert backend(path) == "Service", path
    for path in ("/metrics", "/health", "/version"):
        assert backend(path) == "nothing", path


def test_all_requests_of_the_page_are_routed(built: dict[str, list[Object]]) -> None:
    index = (ROOT / "service/api/routes/static/index.html").read_text()
    files = re.findall(r'(?:src|href)="([^"#:]+)"', index)
    scripts = (ROOT / "service/api/routes/static").glob("*.js")
    asked = [
        path
        for js in scripts
        for path in re.findall(r'(?:fetch|#request)\("([^"]+)"', js.read_text())
    ]
    assert {"ready", "v1/chat/completions", "page/settings"} <= set(asked)
    paths = ["/", *("/" + path.removeprefix("/") for path in [*files, *asked])]
    assert [path for path in paths if rule_for(built, path) is None] == ["/metrics"]


def test_the_picker_and_the_scaler_read_existing_series(
    built: dict[str, list[Object]], server: ServerProcess
) -> None:
    text = json.dumps(built["gpu-autoscaled"])
    asked = set(re.findall(r"\b(?:vllm:|minigpt4_)\w+", text))
    assert len(asked) >= 4
    assert asked <= series(server.url)


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
