"""libtiff prints about broken images itself, a line for each row of pixels, past every logger.

A client could fill a disk with that. Pillow turns off its warnings, not its errors, and offers no way to.
"""

import ctypes
from pathlib import Path

from PIL import _imaging

MAPPED_FILES = Path("/proc/self/maps")
NAME = "libtiff"


def silence_libtiff() -> bool:
    """Make the libtiff that Pillow has loaded print nothing; says whether one was found."""
    assert _imaging, "imported, as this is what loads libtiff"
    try:
        mapped = MAPPED_FILES.read_text()
    except OSError:  # not Linux
        return False
    files = {line.split(maxsplit=5)[-1] for line in mapped.splitlines() if NAME in line}
    for file in files:
        # The library that is loaded already, not a second copy.
        ctypes.CDLL(file).TIFFSetErrorHandler(None)
    return bool(files)
