"""Memory of a process and its children."""

from pathlib import Path


def tree_bytes(pid: int) -> int:
    """Return the resident bytes of ``pid`` and all its descendants."""
    total, waiting = 0, [pid]
    while waiting:
        folder = Path(f"/proc/{waiting.pop()}")
        try:
            total += _resident(folder)
            for task in (folder / "task").iterdir():
                waiting.extend(map(int, (task / "children").read_text().split()))
        except OSError:
            continue  # it has ended
    return total


def _resident(folder: Path) -> int:
    for line in (folder / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
