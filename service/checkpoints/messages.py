"""Lists in messages, shortened when they are long."""

from collections.abc import Sequence


def list_lines(lines: Sequence[str], limit: int = 40) -> str:
    """Join lines into an indented list for a message; say how many were left out."""
    rest = [f"... and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n  ".join([*lines[:limit], *rest])


def list_names(names: Sequence[str], limit: int = 8) -> str:
    """Join names with commas; say how many were left out."""
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
