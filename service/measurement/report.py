"""Scores as rows of a Markdown table and as a plot."""

from collections.abc import Sequence
from pathlib import Path

from service.charts import Interval, can_draw, draw_intervals
from service.measurement.intervals import Score


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def score_row(one: Score) -> list[str]:
    """Name, value with its unit, interval and number of items."""
    value, interval = f"{one.value:.2f} {one.unit}", f"{one.low:.2f} to {one.high:.2f}"
    return [one.name, value, interval, str(one.number)]


def plot_scores(scores: Sequence[Score], title: str, file: Path) -> bool:
    """Write a PNG with a bar and an interval for each score, and a panel for each unit.

    Returns:
        Whether matplotlib is installed; without it nothing is written.
    """
    if not can_draw():
        return False
    panels: dict[str, list[Interval]] = {}
    for one in scores:
        panel = panels.setdefault(one.unit, [])
        panel.append(Interval(one.name, one.value, one.low, one.high))
    file.write_bytes(draw_intervals(title, panels))
    return True
