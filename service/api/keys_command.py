"""``keys``: add keys to a file of API keys, list them, remove them, change their limits."""

import argparse
import os
import secrets
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from service.api.api_keys import COUNTED, NAME, Key, read_keys, read_limits, read_line
from service.errors import SettingsError
from service.usage.amounts import NO_LIMITS, KeyLimits

HELP = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute, of prompts and answers",
    "concurrent_requests": "requests at the same time",
    "models": "names of the models that the key may use, with commas",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``keys add|list|limit|remove``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a key and add its hash to a file")
    listing = actions.add_parser("list", help="print the names and limits of a file's keys")
    limit = actions.add_parser("limit", help="replace a key's limits; without options it has none")
    remove = actions.add_parser("remove", help="remove a key from a file")
    for action in (add, limit, remove):
        action.add_argument("name", help="the key's name; it appears in logs and metrics")
    for action in (add, listing, limit, remove):
        action.add_argument("file", type=Path, help="the file that `serve --api-keys-file` reads")
    for action in (add, limit):
        for name, text in HELP.items():
            action.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=text)


def run(arguments: argparse.Namespace) -> None:
    """Run the action. A new key is printed; it is not stored and cannot be printed again."""
    match arguments.action:
        case "add":
            print(add_key(arguments.name, arguments.file, _given_limits(arguments)))
        case "list":
            for key in read_keys(arguments.file):
                print(_describe(key))
        case "limit":
            set_limits(arguments.name, arguments.file, _given_limits(arguments))
        case _:
            remove_key(arguments.name, arguments.file)


def add_key(name: str, file: Path, limits: KeyLimits = NO_LIMITS) -> str:
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
        lines.write(f"{start}{Key(name, sha256(key.encode()).hexdigest(), limits).line()}\n")
    return key


def set_limits(name: str, file: Path, limits: KeyLimits) -> None:
    """Replace the limits of the keys of a name; raises :class:`SettingsError`."""
    _rewrite(name, file, lambda key: Key(key.name, key.digest, limits).line() + "\n")


def remove_key(name: str, file: Path) -> None:
    """Remove the keys of a name; raises :class:`SettingsError`."""
    _rewrite(name, file, lambda _: "")


def _rewrite(name: str, file: Path, replace: Callable[[Key], str]) -> None:
    """Replace the lines of the keys of a name, and keep all others as they are."""
    if not any(key.name == name for key in read_keys(file)):
        raise SettingsError(f"{file} holds no key named {name}.")
    file = file.resolve()
    lines = []
    for line in file.read_text().splitlines(keepends=True):
        text = line.strip()
        key = read_line(text) if text and not text.startswith("#") else None
        lines.append(replace(key) if key is not None and key.name == name else line)
    # A service that reads the file meanwhile sees the old lines or the new ones.
    written = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.stat().st_mode & 0o777)
    try:
        with os.fdopen(descriptor, "w") as new:
            new.writelines(lines)
        written.replace(file)
    except BaseException:
        written.unlink(missing_ok=True)
        raise


def _given_limits(arguments: argparse.Namespace) -> KeyLimits:
    values = {name: getattr(arguments, name) for name in (*COUNTED, "models")}
    try:
        return read_limits(
            [f"{name}={value}" for name, value in values.items() if value is not None]
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _describe(key: Key) -> str:
    """The key's line without its hash."""
    return " ".join(word for word in key.line().split(" ") if word != key.digest)
