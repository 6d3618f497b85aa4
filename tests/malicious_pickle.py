"""A pickle that runs a command when it is loaded without protection."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class MaliciousPickle:
    """Creates the file ``mark`` when an ordinary unpickler loads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.system, (f"touch '{self.mark}'",)
