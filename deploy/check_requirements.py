"""Fail an image's build if the installed packages do not meet a package's requirements.

The images install with ``--no-deps``, so that pip does not replace the base image's torch. This
check replaces the one that pip's resolver would make.
"""

import sys
from importlib import metadata

from packaging.requirements import Requirement


def unmet(package: str) -> list[str]:
    """Return a line for each unmet requirement of ``package`` (``name`` or ``name[extra]``)."""
    wanted = Requirement(package)
    problems = []
    for line in metadata.requires(wanted.name) or []:
        requirement = Requirement(line)
        if not applies(requirement, wanted.extras):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement} is required, {version} is installed")
    return problems


def applies(requirement: Requirement, extras: set[str]) -> bool:
    """Return whether a requirement applies to this machine and these extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


def main() -> None:
    """Exit with the list of problems if there are any."""
    problems = unmet(sys.argv[1])
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
