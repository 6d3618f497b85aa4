"""The KServe runtime and its example: their fields, their pod, and the arguments."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from service import __version__
from service.api.middleware.gate import PROBES
from service.model_folder.layout import ModelFolder
from tests.deploy.test_kubernetes import ENGINE_END, KUBERNETES_VERSION, SCHEMAS, flags_of
from tests.deploy.tools import ROOT

KSERVE = ROOT / "deploy" / "kserve"
RUNTIME = yaml.safe_load((KSERVE / "serving-runtime.yaml").read_text())
EXAMPLE = yaml.safe_load((KSERVE / "inference-service.yaml").read_text())
CONTAINER = RUNTIME["spec"]["containers"][0]
OWN_OF_RUNTIME = ("supportedModelFormats", "annotations", "labels")
OWN_OF_PREDICTOR = ("minReplicas", "maxReplicas", "model")
"""Fields of KServe's; the rest is a pod's."""


def check_runtime(runtime: dict[str, Any]) -> None:
    schema = json.loads((SCHEMAS / "ServingRuntime.json").read_text())
    jsonschema.validate(runtime, schema)
    check_pod(
        {name: runtime["spec"][name] for name in runtime["spec"] if name not in OWN_OF_RUNTIME}
    )


def check_pod(spec: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "checked"}, "spec": spec}
    kubernetes_validate.validate(pod, KUBERNETES_VERSION, strict=True)


def test_kserve_accepts_the_runtime() -> None:
    check_runtime(RUNTIME)


@pytest.mark.parametrize("path", [("spec", "container"), ("spec", "volumes", 0, "empty")])
def test_the_check_refuses_unknown_fields(path: tuple[str | int, ...]) -> None:
    wrong = json.loads(json.dumps(RUNTIME))
    place = wrong
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = []
    with pytest.raises(jsonschema.ValidationError):
        check_runtime(wrong)


def test_the_example_asks_for_the_runtimes_format() -> None:
    predictor = dict(EXAMPLE["spec"]["predictor"])
    formats = {item["name"] for item in RUNTIME["spec"]["supportedModelFormats"]}
    assert predictor["model"]["modelFormat"]["name"] in formats
    assert set(predictor["model"]) == {"modelFormat", "storageUri"}
    pod = {name: predictor[name] for name in predictor if name not in OWN_OF_PREDICTOR}
    check_pod(
        {**pod, "containers": RUNTIME["spec"]["containers"], "volumes": RUNTIME["spec"]["volumes"]}
    )


def test_the_service_takes_the_arguments_and_the_drain_fits(
    tiny_model: Callable[[str], ModelFolder], tmp_path: Path
) -> None:
    flags = flags_of(tiny_model("minigpt4-vicuna"), CONTAINER)
    words = [part for flag in flags for part in flag.split("=", 1)]
    drain = int(words[words.index("--shutdown-timeout") + 1])
    wait = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = EXAMPLE["spec"]["predictor"]["terminationGracePeriodSeconds"]
    assert wait + drain + ENGINE_END < grace


def test_probes_and_the_image_are_the_services() -> None:
    probes = {name: probe for name, probe in CONTAINER.items() if name.endswith("Probe")}
    assert len(probes) == 3
    assert {probe["httpGet"]["path"] for probe in probes.values()} <= PROBES
    assert CONTAINER["image"].endswith(f":{__version__}-cuda")
