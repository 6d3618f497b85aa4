"""Scores as rows of a Markdown table and as a plot."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from service.measurement.intervals import Score


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def score_row(one: Score) -> list[str]:
    """Name, value with its unit, interval and number of items."""
    value, interval = f"{one.value:.2f} {one.unit}", f"{one.low:.2f} to {one.high:.2f}"
    return [one.name, value, interval, str(one.number)]


def plot_scores(scores: Sequence[Score], title: str, file: Path) -> bool:
    """Write a PNG with one panel a unit and one bar a score, with its interval.

    Returns:
        Whether matplotlib is installed; without it nothing is written.
    """
    if not find_spec("matplotlib"):
        return False
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
    return True
