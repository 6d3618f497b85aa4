"""Checks of the images that need no build."""

import json
import re
import shutil
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import jsonschema
import pytest
import yaml

from deploy.check_requirements import unmet
from tests.deploy.tools import ROOT
from tests.programs import run

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE_FILES = ("docker-compose.yml", "deploy/compose.gpu.yml")


def test_hadolint_finds_nothing() -> None:
    run(Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile")


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_final_stages_run_as_another_user_and_are_probed(target: str) -> None:
    stage = re.split(r"(?m)^FROM ", DOCKERFILE.partition(f" AS {target}\n")[2])[0]
    assert "USER 10001:10001" in stage
    assert "HEALTHCHECK" in stage
    assert "/health" in stage


def test_all_copied_files_are_in_the_build_context() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = {
        source
        for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", DOCKERFILE)
        for source in line.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_files_follow_the_specification(name: str) -> None:
    vendored = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    schema = Path(str(distribution("check-jsonschema").locate_file(vendored))).read_text()
    jsonschema.validate(yaml.safe_load((ROOT / name).read_text()), json.loads(schema))


def test_compose_mounts_all_folders_that_the_service_writes_to() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["service"]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp:exec"]
    assert "cache:/var/cache/minigpt4" in service["volumes"]


def test_the_requirement_check_finds_missing_packages() -> None:
    assert unmet("minigpt4-service") == []
    assert any("vllm" in line for line in unmet("minigpt4-service[cuda]"))


def test_the_wheel_contains_all_files_for_serving(tmp_path: Path) -> None:
    context, dist = tmp_path / "context", tmp_path / "dist"
    context.mkdir()
    for source in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / source, context)
    shutil.copytree(ROOT / "service", context / "service")
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(dist)]
    run(sys.executable, "-m", "pip", "wheel", *options, context)
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        inside = set(packed.namelist())
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "service").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "service/models/demo/model_index.json" in files
    assert files <= inside, sorted(files - inside)
