"""Where API keys are looked up: a file of names and hashes, and the keys of vLLM's ``--api-key``.

A line of the file is ``NAME SHA256``. ``minigpt4-service keys add NAME FILE`` adds one and prints the key, which
is stored nowhere. Keys are random and long, so a plain hash is enough. Names appear in logs and metrics.
"""

import hmac
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Protocol

from service.errors import SettingsError

NAME = re.compile(r"[\w.-]{1,64}")
LINE = re.compile(rf"({NAME.pattern})\s+([0-9a-f]{{64}})")
GIVEN = "default"
"""Name of the keys from ``--api-key``, which have none of their own."""

RECHECK_SECONDS = 1.0
"""How often the file is checked for changes."""

logger = logging.getLogger("service.api.api_keys")


@dataclass(frozen=True)
class Key:
    """One line of the file: the key's name and the SHA-256 of the key, hex."""

    name: str
    digest: str


def read_keys(file: Path) -> tuple[Key, ...]:
    """The keys in ``file``; empty lines and ``#`` comments are skipped.

    Raises:
        SettingsError: the file cannot be read, or a line (named by number) is malformed.
    """
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The key file {file} cannot be read: {error}") from error
    keys = []
    for number, text in enumerate(lines, 1):
        line = text.strip()
        if not line or line.startswith("#"):
            continue
        if (match := LINE.fullmatch(line)) is None:
            raise SettingsError(f"{file}, line {number}: must be NAME and a SHA-256 in hex.")
        keys.append(Key(match[1], match[2]))
    return tuple(keys)


class KeySource(Protocol):
    """Where a key can be looked up."""

    def name_of(self, presented: str) -> str | None:
        """The name of a presented key; None for an unknown one."""


class KeyFile:
    """The keys of a file, read again when it changes.

    While the file cannot be read, the keys that were read last stay valid.
    """

    def __init__(self, file: Path) -> None:
        """Raises what :func:`read_keys` raises."""
        self._file = file
        self._stamp = _stamp(file)
        self._keys = read_keys(file)
        self._checked = monotonic()

    def name_of(self, presented: str) -> str | None:
        """The name of a presented key; None for an unknown one."""
        self._reload()
        return _find(self._keys, presented)

    def _reload(self) -> None:
        now = monotonic()
        if now - self._checked < RECHECK_SECONDS:
            return
        self._checked = now
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_keys(self._file)
            logger.info("Read %d API keys from %s.", len(self._keys), self._file)
        except SettingsError as error:
            logger.error("%s The keys that were read before stay valid.", error)


class GivenKeys:
    """Keys from the command line or the environment, all of one name."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [Key(GIVEN, sha256(key.encode()).hexdigest()) for key in keys]

    def name_of(self, presented: str) -> str | None:
        """The name of a presented key; None for an unknown one."""
        return _find(self._keys, presented)


def _find(keys: Sequence[Key], presented: str) -> str | None:
    """Find the key in constant time, whichever one matches."""
    digest = sha256(presented.encode()).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key.name
    return found


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Changes when the file does. A mounted secret is replaced through a symbolic link: its inode changes."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
