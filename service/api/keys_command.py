"""``keys``: add a key to a file of API keys."""

import argparse
import os
import secrets
from hashlib import sha256
from pathlib import Path

from service.api.api_keys import NAME, read_keys
from service.errors import SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``keys add NAME FILE``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a key and add its hash to a file")
    add.add_argument("name", help="the key's name; it appears in logs and metrics")
    add.add_argument(
        "file", type=Path, help="the file that `serve --api-keys-file` reads; made if absent"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the new key. It is not stored and cannot be printed again."""
    print(add_key(arguments.name, arguments.file))


def add_key(name: str, file: Path) -> str:
    """Make a key for ``name`` and add its hash to ``file``; raises :class:`SettingsError`."""
    if not NAME.fullmatch(name):
        raise SettingsError("A key's name is 1 to 64 letters, digits, dots, dashes or underscores.")
    if file.exists() and any(key.name == name for key in read_keys(file)):
        raise SettingsError(f"{file} already holds a key named {name}.")
    key = f"mg4-{secrets.token_urlsafe(32)}"
    # The last line may lack its newline.
    text = file.read_text() if file.exists() else ""
    start = "\n" if text and not text.endswith("\n") else ""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w") as lines:
        lines.write(f"{start}{name} {sha256(key.encode()).hexdigest()}\n")
    return key
