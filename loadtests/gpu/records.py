"""Records of the measurement: one line of JSON for each figure, written at once."""

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Records:
    """The file that records are added to.

    Attributes:
        failures: What failed in this run.
    """

    def __init__(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._file = out / "records.jsonl"
        self.failures: list[str] = []

    def add(self, kind: str, **fields: Any) -> None:
        """Write a record and print it."""
        line = json.dumps({"kind": kind, **fields})
        with self._file.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)

    def fail(self, what: str, why: str) -> None:
        """Write the record of a failure."""
        self.failures.append(f"{what}: {why}")
        self.add("failed", what=what, why=why)

    def read(self, kind: str) -> list[Record]:
        """Return the records of a kind. A line that a kill has cut is left out."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return [record for line in lines if (record := _parse(line)).get("kind") == kind]


def _parse(line: str) -> Record:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return {}
