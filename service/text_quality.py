"""Signs of a bad text that need neither its image nor a model."""

import re

_LOOP = re.compile(r"\b(\w+(?:\W+\w+){0,7})\W+\1\W+\1\b")


def split_sentences(text: str) -> list[str]:
    """Split a text after each full stop, exclamation or question mark."""
    return _split(text, r"(?<=[.!?])\s+")


def split_lines(text: str) -> list[str]:
    """Split a text into its lines, without empty ones."""
    return _split(text, r"\n+")


def _split(text: str, separator: str) -> list[str]:
    return [part.strip() for part in re.split(separator, text) if part.strip()]


def has_loop(text: str) -> bool:
    """Return whether one to eight words come three times in a row."""
    return bool(_LOOP.search(text))
