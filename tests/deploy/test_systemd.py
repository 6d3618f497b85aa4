"""The unit for single machines, checked by systemd's own tools."""

import argparse
import shlex
from pathlib import Path

import pytest

from service.serve.arguments import add_arguments, given_settings, given_vllm_flags
from service.settings import load_settings
from tests.deploy.tools import ROOT
from tests.programs import program, run

UNIT = ROOT / "deploy" / "systemd" / "minigpt4@.service"
TEXT = UNIT.read_text()


def option(name: str) -> list[str]:
    return [line.partition("=")[2] for line in TEXT.splitlines() if line.startswith(f"{name}=")]


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """An instance of the unit whose program exists on this machine."""
    file = tmp_path / "minigpt4@8001.service"
    file.write_text(TEXT.replace("/opt/minigpt4/bin/minigpt4-service", "/bin/true"))
    return file


def test_systemd_accepts_the_unit(unit: Path) -> None:
    run(program("systemd-analyze"), "verify", "--man=no", unit)


def test_the_unit_is_confined(unit: Path) -> None:
    """On systemd's scale of exposure: 0 is confined, 10 is open; a unit without options has 9.6."""
    run(program("systemd-analyze"), "security", "--offline=yes", "--threshold=25", unit)


def test_the_service_takes_the_command_and_the_environment() -> None:
    command = shlex.split(option("ExecStart")[0].replace("%i", "8001"))
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser)
    arguments, arguments_of_vllm = parser.parse_known_args(command[2:])
    arguments.vllm_flags = arguments_of_vllm
    assert given_vllm_flags(arguments) == ["--host", "127.0.0.1", "--port", "8001"]
    load_settings(None, **given_settings(arguments))
    assigned = dict(
        word.split("=", 1) for line in option("Environment") for word in shlex.split(line)
    )
    settings = load_settings(
        None,
        **{
            name.removeprefix("MINIGPT4_").lower(): value
            for name, value in assigned.items()
            if name != "HOME"
        },
    )
    folders = {Path("/var/lib") / option("StateDirectory")[0], Path(assigned["HOME"])}
    assert settings.files_root.parent in folders
    assert settings.usage_file is not None
    assert settings.usage_file.parent in folders


def test_the_stop_leaves_time_for_the_drain() -> None:
    """--shutdown-timeout is 30, and the engine takes a few seconds to end."""
    assert int(option("TimeoutStopSec")[0]) >= 30 + 5
    assert option("KillMode") == ["mixed"], "SIGTERM to the engine would end the running streams"
