"""Run a command as in the container.

``python -m tests.container [--writable FOLDER] COMMAND ...``

The command gets the Dockerfile's user, a read-only file system with an empty ``/tmp``, an empty
home, no compiler on its PATH, and no network but loopback. Bubblewrap makes this without a
container runtime. Files that belong to the user who starts it stay that user's: bubblewrap changes
the number, not the rights.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
USER = "10001"
COMPILER = re.compile(r"(.*-)?(cc|gcc|g\+\+|c\+\+|clang|clang\+\+|cpp|icx|icpx|ld)(-[\d.]+)?")
PROGRAMS = tuple(map(Path, ("/usr/bin", "/bin", "/usr/sbin", "/sbin")))
HOME = "/tmp/home"
KEPT = ("CI", "COVERAGE_FILE", "LANG")
"""Variables of the environment that the command gets."""


def link_programs_without_compilers(folder: Path) -> None:
    """Fill ``folder`` with links to this machine's programs, except its compilers."""
    for source in PROGRAMS:
        for program in source.iterdir() if source.is_dir() else ():
            link = folder / program.name
            if not COMPILER.fullmatch(program.name) and not link.is_symlink():
                link.symlink_to(program)


def container_command(
    command: Sequence[str], programs: Path, writable: Sequence[Path] = ()
) -> list[str]:
    """The command line that runs ``command`` in a container.

    Args:
        command: What to run.
        programs: Folder that becomes its PATH.
        writable: Folders that it may write to.
    """
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"HOME": HOME, "PATH": "/tmp/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["HYPOTHESIS_STORAGE_DIRECTORY"] = "/tmp/hypothesis"
    # What the tests read may itself be below /tmp.
    read = {str(ROOT), str(Path(sys.prefix).resolve()), str(Path(sys.base_prefix).resolve())}
    return [
        "bwrap",
        *("--unshare-all", "--die-with-parent", "--uid", USER, "--gid", USER),
        *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"),
        *(word for path in sorted(read) for word in ("--ro-bind", path, path)),
        *(word for path in writable for word in ("--bind", str(path), str(path))),
        *("--ro-bind", str(programs), "/tmp/bin", "--dir", HOME, "--chdir", str(ROOT)),
        "--clearenv",
        *(word for pair in environment.items() for word in ("--setenv", *pair)),
        *command,
    ]


def main() -> None:
    """Run the command, and exit with its status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writable", type=Path, action="append", default=[])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        programs = Path(folder)
        link_programs_without_compilers(programs)
        command = container_command(given.command, programs, given.writable)
        sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
