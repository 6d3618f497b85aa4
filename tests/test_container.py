"""The container that the end-to-end tests run in is as bare as the Dockerfile's."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.container import COMPILER, ROOT
from tests.programs import program, run

PROBE = """
import json, os, shutil, socket, tempfile

def fails(attempt):
    try:
        attempt()
    except OSError as error:
        return os.strerror(error.errno)

def listen():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()

print(json.dumps({
    "user": os.getuid(),
    "group": os.getgid(),
    "home": os.listdir(os.environ["HOME"]),
    "programs": [name for folder in os.environ["PATH"].split(":") for name in os.listdir(folder)],
    "writing to the root": fails(lambda: open("/file", "w")),
    "writing to the repository": fails(lambda: open("file", "w")),
    "writing to /tmp": fails(lambda: open("/tmp/file", "w")),
    "loopback": fails(listen),
    "internet": fails(lambda: socket.create_connection(("192.0.2.1", 80), 5)),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
}))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    program("bwrap")
    command = (sys.executable, "-m", "tests.container", sys.executable, "-c", PROBE)
    return json.loads(run(*command, cwd=ROOT))


def test_it_has_the_dockerfiles_user(found: dict[str, Any]) -> None:
    assert f"USER {found['user']}:{found['group']}" in (ROOT / "Dockerfile").read_text()


def test_only_tmp_can_be_written_to(found: dict[str, Any]) -> None:
    assert found["writing to the root"] == "Read-only file system"
    assert found["writing to the repository"] == "Read-only file system"
    assert found["writing to /tmp"] is None
    assert found["home"] == []


def test_it_has_no_compiler(found: dict[str, Any]) -> None:
    assert "sh" in found["programs"]
    assert not [name for name in found["programs"] if COMPILER.fullmatch(name)]


def test_it_has_no_network_but_loopback(found: dict[str, Any]) -> None:
    assert found["loopback"] is None
    assert found["internet"] == "Network is unreachable"


def test_it_sees_its_own_processes_only(found: dict[str, Any]) -> None:
    assert found["processes"] < 5


def test_a_folder_can_be_made_writable_and_the_status_is_the_commands(tmp_path: Path) -> None:
    program("bwrap")
    python = (sys.executable, "-m", "tests.container", "--writable", tmp_path, sys.executable)
    run(*python, "-c", f"open({str(tmp_path / 'file')!r}, 'w')", cwd=ROOT)
    assert (tmp_path / "file").exists()
    with pytest.raises(AssertionError, match="no such luck"):
        run(*python, "-c", "import sys; sys.exit('no such luck')", cwd=ROOT)
