"""The results of the failures experiment: a row for each system, task and temperature."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from service.measurement.intervals import Score
from service.measurement.report import markdown_table, plot_scores


@dataclass
class Row:
    """One system at one task and temperature."""

    system: str
    task: str
    temperature: float
    scores: list[Score]
    bad: dict[str, str] = field(default_factory=dict)


def write_rows(
    rows: Sequence[Row], lines: Sequence[dict[str, Any]], out: Path, *, judged: bool
) -> None:
    """Write table, scores, plot, and each verdict beside its text."""
    names = [one.name for one in rows[0].scores]
    table = [
        [row.system, row.task, f"{row.temperature:g}", str(row.scores[0].number)]
        + [f"{one.value:.1f} ({one.low:.1f} to {one.high:.1f})" for one in row.scores]
        for row in rows
    ]
    text = markdown_table(("system", "task", "temperature", "answers", *names), table)
    text += ["", "Shares in percent with 95 % intervals. An answer can have several reasons."]
    if not judged:
        text.append("Irrelevant answers were not counted: that needs --judge.")
    text += [f"- {item}: {why}" for row in rows for item, why in row.bad.items()]
    (out / "results.md").write_text("\n".join(text) + "\n", "utf-8")
    content = json.dumps([asdict(row) for row in rows], indent=2) + "\n"
    (out / "results.json").write_text(content, "utf-8")
    written = [json.dumps(line, ensure_ascii=False) for line in lines]
    (out / "verdicts.jsonl").write_text("\n".join(written) + "\n", "utf-8")
    bars = [_bar(row) for row in rows]
    plot_scores(bars, "Failed answers", out / "results.png")


def _bar(row: Row) -> Score:
    one = row.scores[0]
    name = f"{row.system}, {row.task}, T={row.temperature:g}"
    return Score(name, one.value, one.low, one.high, one.number)
