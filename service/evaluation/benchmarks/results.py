"""The results of one run: JSON, a Markdown table and a plot."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from service.measurement.intervals import Score

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
        lines += ["", "| figure | value | 95 % interval | items |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {one.name} | {one.value:.2f} {one.unit} | {one.low:.2f} to {one.high:.2f} | {one.number} |"
            for one in self.scores
        ]
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
        if find_spec("matplotlib"):
            _plot(self.scores, f"{self.title}: {self.label}", folder / "results.png")


def _plot(scores: Sequence[Score], title: str, file: Path) -> None:
    """One panel a unit, one bar a score with its interval."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    units = list(dict.fromkeys(one.unit for one in scores))
    panels = [[one for one in scores if one.unit == unit] for unit in units]
    heights = [len(panel) + 1 for panel in panels]
    figure, axes = plt.subplots(
        len(units), 1, squeeze=False, figsize=(7, 0.9 + 0.35 * sum(heights)), height_ratios=heights
    )
    for axis, unit, panel in zip(axes[:, 0], units, panels, strict=True):
        values = [one.value for one in panel]
        below = [max(one.value - one.low, 0) for one in panel]
        above = [max(one.high - one.value, 0) for one in panel]
        axis.barh([one.name for one in panel], values, color="#8fb3e0", height=0.6)
        axis.errorbar(
            values, range(len(panel)), xerr=[below, above], fmt=".", color="#1f3f6f", capsize=3
        )
        axis.invert_yaxis()
        axis.set_xlabel(unit)
        axis.set_xlim(left=0)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)
