"""How much memory this process has used at most."""

import re
from pathlib import Path


def peak_bytes() -> int:
    """Largest resident memory so far, of Linux's account of this program.

    Not ``getrusage``: its maximum is handed down from the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024
