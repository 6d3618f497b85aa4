"""Read the published files of a data set. Every failure is one line that names the file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from service.errors import EvaluationError

T = TypeVar("T")

_SHOWN = 3
"""Names of missing files in one message."""


def find_file(folder: Path, *names: str) -> Path:
    """The first file with one of these names or glob patterns, in ``folder`` or one level below it.

    Raises:
        EvaluationError: the folder or the file does not exist, or a pattern fits several files.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder.")
    for name in names:
        for pattern in (name, f"*/{name}"):
            found = sorted(path for path in folder.glob(pattern) if path.is_file())
            if len(found) > 1:
                both = f"{found[0].relative_to(folder)} and {found[1].relative_to(folder)}"
                raise EvaluationError(f"{folder} has several files {name}, such as {both}.")
            if found:
                return found[0]
    raise EvaluationError(f"{folder} has no file {' or '.join(names)}.")


def read_json(file: Path, kind: type[T]) -> T:
    """Read a JSON file as ``kind``, a pydantic model or a container of models.

    Raises:
        EvaluationError: the file cannot be read, is not whole JSON, or has a wrong field.
    """
    return _parse(TypeAdapter(kind), _read(file), str(file))


def read_json_lines(file: Path, kind: type[T]) -> list[T]:
    """Read a file with one JSON object a line. A JSON list in one piece is accepted as well.

    Raises:
        EvaluationError: as :func:`read_json`; the message gives the line.
    """
    content = _read(file)
    if content.lstrip().startswith(b"["):
        return _parse(TypeAdapter(list[kind]), content, str(file))  # type: ignore[valid-type]
    adapter = TypeAdapter(kind)
    return [
        _parse(adapter, line, f"{file}, line {number}")
        for number, line in enumerate(content.splitlines(), 1)
        if line.strip()
    ]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read: {error.strerror}.") from error


def _parse(adapter: TypeAdapter[T], content: bytes, where: str) -> T:
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        raise EvaluationError(f"{where}: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    first, *others = error.errors(include_url=False, include_input=False)
    if first["type"] == "json_invalid":
        return f"this is not whole JSON: {first['ctx']['error']}."
    place = "".join(_step(step) for step in first["loc"]).lstrip(".") or "the content"
    more = f" More faults: {len(others)}." if others else ""
    return f"{place}: {first['msg']}.{more}"


def _step(step: Any) -> str:
    return f"[{step}]" if isinstance(step, int) else f".{step}"


class ImageFolder:
    """Images of a data set, found by their published names.

    Args:
        roots: Folders to look in. Their direct subfolders are searched as well.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots: list[Path] = []
        for root in roots:
            if not root.is_dir():
                raise EvaluationError(f"{root} is not a folder.")
            below = sorted(path for path in root.iterdir() if path.is_dir())
            self.roots += [root, *below]

    def find(self, *names: str) -> Path | None:
        """The file of the first of these names; None if there is no such file."""
        for name in names:
            for root in self.roots:
                if (root / name).is_file():
                    return root / name
        return None


def describe_missing(names: Sequence[str]) -> str:
    """One line about missing images: the first names and the number of the others."""
    shown = ", ".join(names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"Images are missing ({len(names)}): {shown}{more}."
