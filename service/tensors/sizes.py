"""Sizes in words."""

GIB, MIB = 2**30, 2**20


def readable(size: int) -> str:
    """Bytes as people read them: ``3.7 MiB``, ``13.48 GiB``."""
    return f"{size / GIB:.2f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"
