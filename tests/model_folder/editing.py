"""Changes to the files of a model folder."""

import json
from pathlib import Path


def edit_json(file: Path, **changes: object) -> None:
    """Replace or add keys of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
