"""Check the names of flags before vLLM is imported, which takes seconds."""

import difflib
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files

from service.errors import SettingsError
from service.settings import Settings

VLLM_FLAGS = "vllm_flags.txt"
"""File with the flags of the pinned vLLM, one in a line."""

FLAG = re.compile(r"(--?[A-Za-z][\w-]*)(\.[^=]*)?(=.*)?", re.DOTALL)
"""A flag, the path into its JSON value (``--hf-overrides.a.b``), and a value after an equals sign."""

OPTIMIZATION = re.compile(r"-O=?\d?")
"""vLLM's short form of ``--optimization-level``."""


def check_flag_names(words: Sequence[str]) -> None:
    """Refuse a flag that neither the service nor vLLM has.

    Args:
        words: The words that the service's own parser does not know.

    Raises:
        SettingsError: names the flag and the nearest one.
    """
    if words and not words[0].startswith("-"):
        raise SettingsError(
            f"{words[0]!r} does not belong to a flag. Give the model as --model {words[0]}."
        )
    known = set(list_vllm_flags())
    for word in words:
        match = FLAG.fullmatch(word)
        if not match or OPTIMIZATION.fullmatch(word):
            continue
        name = match[1].replace("_", "-") if match[1].startswith("--") else match[1]
        if name not in known:
            raise SettingsError(f"There is no flag {match[1]}{_suggest(name, known)}")


def list_vllm_flags() -> list[str]:
    """Read the names of vLLM's flags, the short ones as well."""
    return files(__package__).joinpath(VLLM_FLAGS).read_text().split()


def list_own_flags() -> list[str]:
    """Return the flags of the service's settings."""
    return ["--settings", *(f"--{name.replace('_', '-')}" for name in Settings.model_fields)]


def _suggest(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, [*list_own_flags(), *known], n=1)
    if nearest:
        return f"; did you mean {nearest[0]}?"
    return "; `serve --help` shows the flags."
