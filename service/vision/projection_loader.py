"""Loads projections: those that the settings name, and those in a folder that is watched."""

import logging
from collections.abc import Mapping
from pathlib import Path

from service.errors import ProjectionError
from service.model_folder.layout import INDEX_FILE
from service.model_folder.projection_file import ProjectionFile, read_projection
from service.model_folder.vision_config import VisionConfig
from service.vision.named_projections import Projections

SUFFIXES = (".safetensors", ".pth")

Stamp = tuple[int, int, int]
"""Changes when a file does."""

logger = logging.getLogger("service.vision")


class ProjectionLoader:
    """Keeps the served projections equal to the settings and to the watched folder."""

    def __init__(
        self,
        projections: Projections,
        config: VisionConfig,
        facts: Mapping[str, str],
        reserved: frozenset[str],
        folder: Path | None,
    ) -> None:
        """Store the arguments.

        Args:
            projections: Where to add and remove.
            config: The served encoder.
            facts: Of the served model folder, see :func:`read_projection`.
            reserved: Names of the base model.
            folder: The folder to watch, if any.
        """
        self._projections = projections
        self._config, self._facts = config, facts
        self._reserved = reserved
        self._folder = folder
        self._given: frozenset[str] = frozenset()
        self._seen: dict[str, tuple[Path, Stamp]] = {}

    def load_given(self, files: Mapping[str, Path]) -> list[str]:
        """Serve the projections that the settings name; return a line for each or its refusal."""
        self._given = frozenset(files)
        return [self._add(name, path) for name, path in files.items()]

    def scan(self) -> list[str]:
        """Serve what the folder holds now; return a line for each change.

        Blocks while files are read.
        """
        if self._folder is None:
            return []
        found = dict(self._list_files())
        lines = []
        for name in sorted(self._seen.keys() - found.keys()):
            del self._seen[name]
            if self._projections.find(name):
                self._projections.remove(name)
                lines.append(f"Projection {name} was removed and is served no longer.")
        for name, (path, stamp) in sorted(found.items()):
            if self._seen.get(name) != (path, stamp):
                self._seen[name] = path, stamp
                lines.append(self._add(name, path))
        return lines

    def _list_files(self) -> list[tuple[str, tuple[Path, Stamp]]]:
        assert self._folder is not None
        try:
            paths = sorted(self._folder.iterdir())
        except OSError as error:
            logger.error("The folder %s cannot be read: %s", self._folder, error.strerror)
            return [(name, seen) for name, seen in self._seen.items()]
        files = []
        for path in paths:
            is_model = (path / INDEX_FILE).is_file()
            if path.name.startswith(".") or not (is_model or path.suffix in SUFFIXES):
                continue
            name = path.name if is_model else path.stem
            if name not in self._given and (
                stamp := _stamp(path / INDEX_FILE if is_model else path)
            ):
                files.append((name, (path, stamp)))
        return files

    def _add(self, name: str, path: Path) -> str:
        try:
            if name in self._reserved:
                raise ProjectionError(f"Projection {name} ({path}): this is the base model's name.")
            file = read_projection(name, path, self._config, self._facts)
        except ProjectionError as error:
            # What was served by this name belongs to a file that is gone.
            self._projections.remove(name)
            return f"{error} It is not served."
        self._projections.add(file)
        note = "" if file.checked else " The file does not say which model it was trained with."
        return f"Projection {name} is served from {path}.{note}"


def read_base_projection(name: str, root: Path, config: VisionConfig) -> ProjectionFile:
    """The model folder's own projection, by the base model's name."""
    return read_projection(name, root, config, {})


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
