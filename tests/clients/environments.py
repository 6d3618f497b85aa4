"""Installs pinned clients outside this environment, and runs a script with them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.clients.example import MODEL, PICTURE, QUESTION
from tests.programs import program, run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def create_python_environment(folder: Path, name: str) -> Path:
    """Install ``requirements/clients-NAME.txt`` into ``folder``; returns its interpreter."""
    uv = Path(sys.executable).with_name("uv")
    run(uv, "venv", "--quiet", "--python", sys.executable, folder)
    interpreter = folder / "bin" / "python"
    requirements = ROOT / "requirements" / f"clients-{name}.txt"
    # The list is complete.
    flags: list[str | Path] = ["--quiet", "--no-deps", "--requirement", requirements]
    environment = {**os.environ, **_package_index()}
    run(uv, "pip", "install", "--python", interpreter, *flags, env=environment)
    return interpreter


def create_node_environment(folder: Path) -> Path:
    """Install ``node/package-lock.json`` into ``folder``; returns the pinned Node.js."""
    shutil.copytree(HERE / "node", folder, dirs_exist_ok=True)
    run(program("npm"), "ci", "--no-audit", "--no-fund", "--silent", cwd=folder)
    return folder / "node_modules" / ".bin" / "node"


def run_script(interpreter: Path, script: Path, url: str) -> dict[str, Any]:
    """Parse the last printed line as JSON: the clients print other lines before it.

    Args:
        interpreter: Of the environment that has the client.
        script: What to run.
        url: Address of the service.
    """
    told = {"URL": url, "MODEL": MODEL, "PICTURE": str(PICTURE), "QUESTION": QUESTION}
    # Without the variables of this session: a client is configured by its script only.
    environment = {"PATH": os.environ["PATH"], "HOME": str(interpreter.parent), **told}
    return json.loads(run(interpreter, script, env=environment, timeout=120).splitlines()[-1])


def _package_index() -> dict[str, str]:
    """The package index that is configured for pip, whose configuration uv does not read."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    configured = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    index = os.environ.get("PIP_INDEX_URL") or configured
    return {"UV_DEFAULT_INDEX": index} if index else {}
