"""The results of one run: JSON, a Markdown table and a plot."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from service.measurement.intervals import Score
from service.measurement.report import markdown_table, plot_scores, score_row

_SHOWN = 20
"""Bad items that the table names; the JSON file has all."""


@dataclass
class Results:
    """What one run measured.

    Attributes:
        title: The benchmark's.
        label: The model's name in the report.
        settings: Of the run: split, model, prompt, ...
        items: Items asked for. Those in ``bad`` are not in the scores.
        truncated: Answers that ended at the longest length.
        bad: Why items have no answer, by item id.
        note: How the figures differ from the published scorer's.
    """

    title: str
    label: str
    settings: dict[str, Any]
    items: int
    scores: list[Score]
    truncated: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def table(self) -> str:
        """A Markdown page: one row a score, then what the figures leave out."""
        lines = [f"# {self.title}: {self.label}", ""]
        lines += [f"- {name}: `{value}`" for name, value in self.settings.items()]
        heads = ("figure", "value", "95 % interval", "items")
        lines += ["", *markdown_table(heads, [score_row(one) for one in self.scores])]
        lines += ["", f"{self.items - len(self.bad)} of {self.items} items have an answer."]
        if self.truncated:
            lines.append(f"{self.truncated} answers ended at the longest length.")
        if self.note:
            lines.append(self.note)
        lines += [f"- {name}: {why}" for name, why in list(self.bad.items())[:_SHOWN]]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """Write ``results.json``, ``results.md`` and, with matplotlib, ``results.png``."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        (folder / "results.json").write_text(text, "utf-8")
        (folder / "results.md").write_text(self.table(), "utf-8")
        plot_scores(self.scores, f"{self.title}: {self.label}", folder / "results.png")
