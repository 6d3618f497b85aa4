"""Fails an image's build when what is installed does not meet a package's own requirements.

The images install with ``--no-deps``, so that nothing replaces the base image's torch; this says what
a resolver would have said.
"""

import sys
from importlib import metadata

from packaging.requirements import Requirement


def unmet(package: str) -> list[str]:
    """One line for each requirement of ``package`` (``name`` or ``name[extra]``) that is not met."""
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
            problems.append(f"{requirement} is asked for, {version} is there")
    return problems


def applies(requirement: Requirement, extras: set[str]) -> bool:
    """Whether a requirement holds on this machine with these extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


def main() -> None:
    """Exit with the list of problems, if there are any."""
    problems = unmet(sys.argv[1])
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
