"""Byte counts for messages."""

GIB, MIB = 2**30, 2**20


def format_bytes(size: int) -> str:
    """Format a number of bytes for people: ``3.7 MiB``, ``13.48 GiB``."""
    return f"{size / GIB:.2f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"
