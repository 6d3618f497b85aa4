"""CONTRIBUTING.md agrees with the checks, and GitHub's files have the right form."""

import json
import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_guide_has_the_layers_that_are_checked() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert "```\n" + "\n".join(layers) + "\n```" in GUIDE


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_the_paths_that_a_guide_names_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    quoted = set(re.findall(r"`((?:service|tests|docs|deploy|requirements)/[\w./-]+)`", text))
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    linked = {target for target in targets if "://" not in target}
    assert {path for path in quoted | linked if not (ROOT / path).exists()} == set()


def test_pre_commit_runs_all_of_make_lint() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"].removeprefix("make ") for hook in repository["hooks"]]
    (parts,) = re.findall(r"(?m)^lint: (.*?)  ##", (ROOT / "Makefile").read_text())
    assert entries == parts.split()


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("renovate", "renovate.json"),
        ("github-issue-config", "ISSUE_TEMPLATE/config.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/bug.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/feature.yml"),
    ],
)
def test_github_files_follow_their_schemas(schema: str, file: str) -> None:
    vendored = f"check_jsonschema/builtin_schemas/vendor/{schema}.json"
    rules: dict[str, Any] = json.loads(
        Path(str(distribution("check-jsonschema").locate_file(vendored))).read_text()
    )
    jsonschema.validate(yaml.safe_load((ROOT / ".github" / file).read_text()), rules)
