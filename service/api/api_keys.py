"""API keys: a file of names and hashes, read again when it changes, and those of vLLM's ``--api-key``.

A line is ``NAME SHA256``; ``minigpt4-service keys add NAME FILE`` writes one and prints the key, which
is nowhere else. Keys are random and long, so a plain hash is enough. Names go into logs and metrics.
"""

import hmac
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.error_responses import error_body
from service.api.lifecycle import respond
from service.errors import SettingsError
from service.request_context import TENANT

NAME = re.compile(r"[\w.-]{1,64}")
LINE = re.compile(rf"({NAME.pattern})\s+([0-9a-f]{{64}})")
GIVEN = "default"
"""Name of the keys that come without one."""

RECHECK = 1.0
"""Seconds between looks at whether the file has changed."""

GUARDED = ("/v1/", "/tokenize", "/detokenize")
"""Parts of paths that need a key: everything that costs work or tells about the model. Anywhere in the
path, as the routes answer below ``--root-path`` as well."""

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


class KeyFile:
    """The keys in force; a file that becomes unreadable leaves the last good ones in force."""

    def __init__(self, file: Path) -> None:
        """Raises what :func:`read_keys` raises."""
        self._file = file
        self._stamp = _stamp(file)
        self._keys = read_keys(file)
        self._checked = monotonic()

    def name_of(self, presented: str) -> str | None:
        """The name of a presented key, or nothing."""
        self._reload()
        return _find(self._keys, presented)

    def _reload(self) -> None:
        now = monotonic()
        if now - self._checked < RECHECK:
            return
        self._checked = now
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_keys(self._file)
            logger.info("%d API keys read from %s", len(self._keys), self._file)
        except SettingsError as error:
            logger.error("%s The former keys stay in force.", error)


class GivenKeys:
    """Keys from the command line or the environment, all of one name."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [Key(GIVEN, sha256(key.encode()).hexdigest()) for key in keys]

    def name_of(self, presented: str) -> str | None:
        """The name of a presented key, or nothing."""
        return _find(self._keys, presented)


def _find(keys: Sequence[Key], presented: str) -> str | None:
    """Takes equally long whichever key matches."""
    digest = sha256(presented.encode()).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key.name
    return found


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Changes whenever the file does; mounted secrets are swapped by symbolic link: a new inode."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


class RequireKey:
    """ASGI layer: 401 without a known key; the key's name becomes the request's tenant."""

    def __init__(self, app: ASGIApp, *keys: KeyFile | GivenKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check guarded paths. A preflight carries no key and does no work."""
        guarded = scope["type"] == "http" and any(part in scope["path"] for part in GUARDED)
        if not guarded or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        presented = _presented(Headers(scope=scope))
        names = [name for keys in self._keys if (name := keys.name_of(presented))]
        if not names:
            await respond(send, 401, error_body(MESSAGE, "AuthenticationError", 401))
            return
        scope.setdefault("state", {})["tenant"] = names[0]
        token = TENANT.set(names[0])
        try:
            await self._app(scope, receive, send)
        finally:
            TENANT.reset(token)


MESSAGE = "A valid API key is needed: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`."


def _presented(headers: Headers) -> str:
    """OpenAI's clients send a bearer token, Anthropic's ``x-api-key``."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
