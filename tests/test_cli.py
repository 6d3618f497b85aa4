"""The command line itself; each command is tested beside its module."""

import re
import subprocess
import sys

import pytest

from service.cli import COMMANDS


@pytest.fixture(scope="module")
def help_and_imports() -> tuple[str, set[str]]:
    """What ``--help`` prints, and the top-level packages that it loads."""
    command = [sys.executable, "-X", "importtime", "-m", "service", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = re.findall(r"(?m)^import time:.*\| +(\S+)$", done.stderr)
    return done.stdout, {module.partition(".")[0] for module in modules}


def test_help_names_every_command(help_and_imports: tuple[str, set[str]]) -> None:
    assert [name for name in COMMANDS if name not in help_and_imports[0]] == []


def test_help_loads_no_library_that_takes_seconds(help_and_imports: tuple[str, set[str]]) -> None:
    """torch and vLLM take seconds to load; nobody waits for them to read a list of commands."""
    loaded = help_and_imports[1]
    assert "service" in loaded
    assert not loaded & {"torch", "vllm", "transformers", "numpy"}
