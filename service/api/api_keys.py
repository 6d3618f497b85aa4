"""Look up API keys in a file of names and hashes, and among the keys of vLLM's ``--api-key``.

A line of the file has the form ``NAME SHA256 LIMIT=VALUE ...``. ``minigpt4-service keys add NAME
FILE`` adds a line and prints the key, which is not stored. Keys are random and long, so a plain
hash is enough. Names appear in logs and metrics.
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
from service.usage.amounts import NO_LIMITS, KeyLimits

NAME = re.compile(r"[\w.-]{1,64}")
LINE = re.compile(rf"({NAME.pattern})\s+([0-9a-f]{{64}})((?:\s+\S+)*)")
COUNTED = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
"""Limits whose value is a number; ``models`` is a list of names with commas."""

GIVEN = "default"
"""Name of all keys from ``--api-key``, which have no names of their own."""

RECHECK_SECONDS = 1.0
"""How often the file is checked for changes."""

logger = logging.getLogger("service.api.api_keys")


@dataclass(frozen=True)
class Key:
    """One line of the file: the key's name, the SHA-256 of the key (hex), and the key's limits."""

    name: str
    digest: str
    limits: KeyLimits = NO_LIMITS

    def line(self) -> str:
        """The line, without its end."""
        limits = {name: getattr(self.limits, name) for name in COUNTED}
        words = [f"{name}={value}" for name, value in limits.items() if value is not None]
        if self.limits.models is not None:
            words.append(f"models={','.join(sorted(self.limits.models))}")
        return " ".join([self.name, self.digest, *words])


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
        try:
            keys.append(read_line(line))
        except ValueError as error:
            raise SettingsError(f"{file}, line {number}: {error}") from None
    return tuple(keys)


def read_line(line: str) -> Key:
    """The key of one line of the file; raises :class:`ValueError`."""
    if (match := LINE.fullmatch(line)) is None:
        raise ValueError("must be NAME and a SHA-256 in hex, then limits.")
    return Key(match[1], match[2], read_limits(match[3].split()))


def read_limits(words: Sequence[str]) -> KeyLimits:
    """Limits of words such as ``tokens_per_minute=1000``; raises :class:`ValueError`."""
    limits: dict[str, int | frozenset[str]] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name in limits or name not in (*COUNTED, "models"):
            raise ValueError(f"{word!r} is not a limit, or stands there twice.")
        if name == "models":
            limits[name] = _read_models(value)
        elif value.isascii() and value.isdecimal() and 0 < int(value) < 1 << 53:
            limits[name] = int(value)
        else:
            raise ValueError(f"{name} must be a whole number from 1 on.")
    return KeyLimits(**limits)  # type: ignore[arg-type]


def _read_models(value: str) -> frozenset[str]:
    models = frozenset(filter(None, value.split(",")))
    if not models or value.split() != [value]:
        raise ValueError("models must be names with commas between them.")
    return models


class KeySource(Protocol):
    """Where a key can be looked up."""

    def find(self, presented: str) -> Key | None:
        """The line of a presented key; None for an unknown one."""

    def find_name(self, name: str) -> Key | None:
        """A line of that name; None for an unknown one."""


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

    def find(self, presented: str) -> Key | None:
        """The line of a presented key; None for an unknown one."""
        self._reload()
        return _find(self._keys, presented)

    def find_name(self, name: str) -> Key | None:
        """A line of that name; None for an unknown one."""
        self._reload()
        return next((key for key in self._keys if key.name == name), None)

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

    def find(self, presented: str) -> Key | None:
        """The line of a presented key; None for an unknown one."""
        return _find(self._keys, presented)

    def find_name(self, name: str) -> Key | None:
        """One of the keys, if ``name`` is theirs."""
        return next((key for key in self._keys if key.name == name), None)


def _find(keys: Sequence[Key], presented: str) -> Key | None:
    """Find the key. The time does not depend on which key matches."""
    digest = sha256(presented.encode()).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Return a value that changes with the file.

    A mounted secret is a symbolic link: its inode changes.
    """
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
