"""The command line itself; each command is tested beside its module."""

import importlib
import re
import subprocess
import sys
from typing import Any

import pytest

from service.cli import COMMANDS, main


@pytest.fixture(scope="module")
def help_and_imports() -> tuple[str, set[str]]:
    """What ``--help`` prints, and the top-level packages that it loads."""
    command = [sys.executable, "-X", "importtime", "-m", "service", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = re.findall(r"(?m)^import time:.*\| +(\S+)$", done.stderr)
    return done.stdout, {module.partition(".")[0] for module in modules}


def test_help_describes_every_command(help_and_imports: tuple[str, set[str]]) -> None:
    lines = help_and_imports[0].splitlines()
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name:<14}{summary}" in lines


def test_help_does_not_import_slow_libraries(help_and_imports: tuple[str, set[str]]) -> None:
    """torch and vLLM take seconds to import, which is too long for a list of commands."""
    imported = help_and_imports[1]
    assert "service" in imported
    assert not imported & {"torch", "vllm", "transformers", "numpy"}


def test_no_command_prints_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    printed = capsys.readouterr().err
    assert all(summary in printed for _, summary in COMMANDS.values())


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("sevre", "did you mean 'serve'?"),
        ("init_model", "did you mean 'init-model'?"),
        ("xyzzy", "see --help"),
    ],
)
def test_an_unknown_command_is_explained(
    name: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([name, "--port", "1"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert f"no command '{name}'" in error
    assert advice in error


def test_only_serve_accepts_unknown_flags(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["inspect", "model", "--dtype", "float32"])
    assert exit_.value.code == 2
    assert "unknown arguments: --dtype float32" in capsys.readouterr().err

    flags: list[str] = []

    class FakeServe:
        @staticmethod
        def add_arguments(parser: Any) -> None:
            parser.add_argument("--port")

        @staticmethod
        def run(arguments: Any) -> None:
            flags.extend(arguments.vllm_flags)

    monkeypatch.setattr(importlib, "import_module", lambda name: FakeServe)
    main(["serve", "--port", "1", "--dtype", "float32"])
    assert flags == ["--dtype", "float32"]
