"""The table of clients in the documentation names the versions that are pinned, and thereby run."""

import json
import re
from collections.abc import Iterator

from tests.clients.environments import HERE, ROOT

PAGE = ROOT / "docs" / "how-to" / "use-other-clients.md"
LISTS = ("cpu", "dev", "clients-openai-2", "clients-openai-3")
PROGRAMS = {"curl", "hey"}
"""Debian's versions, which are not pinned."""


def pins() -> dict[str, set[str]]:
    """The pinned versions of each package from PyPI and, with a mark, from npm."""
    pinned: dict[str, set[str]] = {}
    for name in LISTS:
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        for package, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", text):
            pinned.setdefault(package, set()).add(version)
    for package, version in json.loads((HERE / "node" / "package.json").read_text())[
        "dependencies"
    ].items():
        pinned[f"{package} (npm)"] = {version}
    return pinned


def rows() -> Iterator[tuple[str, str]]:
    """Each client of the table and its version."""
    for names, versions in re.findall(r"(?m)^\| ([^|]+) \| (\d[^|]*) \|", PAGE.read_text()):
        names, mark = names.removesuffix(" (npm)"), " (npm)" if " (npm)" in names else ""
        for name, version in zip(names.split(", "), versions.split(", "), strict=True):
            yield name + mark, version


def test_the_table_names_the_pinned_versions() -> None:
    pinned = pins()
    clients = dict(rows())
    assert len(clients) > 10
    for client, version in clients.items():
        if client not in PROGRAMS:
            assert version in pinned[client], client
