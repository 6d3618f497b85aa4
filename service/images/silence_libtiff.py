"""Stop libtiff from printing to standard error.

For a damaged image, libtiff prints a line for each row of pixels and bypasses every logger, so that
a client could fill a disk with log lines. Pillow turns off libtiff's warnings, but has no option to
turn off its errors.
"""

import ctypes
from pathlib import Path

from PIL import _imaging

MAPPED_FILES = Path("/proc/self/maps")
NAME = "libtiff"


def silence_libtiff() -> bool:
    """Remove the error handler of the libtiff that Pillow loaded; return whether one was found."""
    assert _imaging, "this import loads libtiff"
    try:
        mapped = MAPPED_FILES.read_text()
    except OSError:  # not Linux
        return False
    files = {line.split(maxsplit=5)[-1] for line in mapped.splitlines() if NAME in line}
    for file in files:
        # The full path makes ctypes open the loaded library instead of a second copy.
        ctypes.CDLL(file).TIFFSetErrorHandler(None)
    return bool(files)
