"""Files that a run resumes from, each written whole or not at all."""

import io
import os
from pathlib import Path
from typing import Any

import torch

from service.errors import AlignmentError


def write_state(file: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values with ``torch.save``; raises ``OSError``."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    replace_file(file, buffer.getvalue())


def read_state(file: Path) -> dict[str, Any] | None:
    """Read what :func:`write_state` wrote, onto the CPU; None if there is no such file.

    Raises:
        AlignmentError: the file is damaged.
    """
    if not file.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:
        # A damaged file makes torch raise nearly any exception, some with pages of text.
        raise damaged_file_error(file) from error
    return state


def damaged_file_error(file: Path) -> AlignmentError:
    """Make the error for a file that holds no state of ours."""
    return AlignmentError(
        f"{file} is damaged, or another program wrote it. Remove it or give another folder."
    )


def replace_file(file: Path, content: bytes) -> None:
    """Write ``content`` to a new file on the disk, then rename it to ``file``; raises ``OSError``.

    After a kill or a full disk, ``file`` is still the old one.
    """
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
