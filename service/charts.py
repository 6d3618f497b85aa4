"""Charts as PNG bytes. matplotlib (extra ``train``) is imported only when a chart is drawn."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

MISSING = "No plot is drawn: matplotlib is not installed (pip install 'minigpt4-service[train]')."
"""What a command prints in place of a chart."""

_SMOOTHED_SHARE = 50
"""A curve's smoothed line averages over this fraction of the points: 1/50."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval, which the chart shows as a bar with a whisker."""

    name: str
    value: float
    low: float
    high: float


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_curve(
    title: str,
    x_label: str,
    y_label: str,
    points: Sequence[tuple[float, float]],
    others: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> bytes:
    """Draw a curve twice: faint as measured, and bold as its moving mean.

    Args:
        others: Short curves beside it, by their names; each is drawn with its points.
    """
    figure = _new_figure(7.6, 4.2)
    axis = figure.subplots()
    x, y = np.array(points, dtype=float).reshape(-1, 2).T
    marker = "." if len(x) == 1 else ""
    axis.plot(x, y, color="C0", alpha=0.35, linewidth=1, marker=marker, label="as measured")
    window = max(len(x) // _SMOOTHED_SHARE, 1)
    if window > 1:
        axis.plot(x, _moving_mean(y, window), color="C0", linewidth=2, label="smoothed")
    for number, (name, curve) in enumerate((others or {}).items(), start=1):
        axis.plot(*np.array(curve, dtype=float).T, color=f"C{number}", marker="o", label=name)
    axis.set(title=title, xlabel=x_label, ylabel=y_label, ylim=(0, None), xlim=(0, None))
    axis.grid(color="#dddddd")
    axis.legend()
    return _to_png(figure)


def _moving_mean(values: Any, window: int) -> Any:
    """Average each value with its neighbours; near the ends with those that there are."""
    ones = np.ones(window)
    return np.convolve(values, ones, "same") / np.convolve(np.ones_like(values), ones, "same")


def draw_bars(
    title: str, labels: Sequence[str], groups: Mapping[str, Sequence[float | None]]
) -> bytes:
    """Draw shares in percent as horizontal bars, one group of bars for each figure.

    Args:
        labels: Name of each series.
        groups: Share of each series by the figure's name; None if it was not measured.
    """
    rows = len(labels) + 0.6
    image = _new_figure(7.6, 1.1 + 0.19 * rows * len(groups) + 0.2 * len(labels))
    axis = image.subplots()
    for number, label in enumerate(labels):
        shares = [group[number] for group in groups.values()]
        places = [rows * index + number for index in range(len(groups))]
        bars = axis.barh(
            places,
            [100 * (share or 0) for share in shares],
            height=0.8,
            color=f"C{number}",
            label=label,
        )
        texts = ["not asked" if share is None else f"{100 * share:.1f}" for share in shares]
        axis.bar_label(bars, texts, padding=3, fontsize=7)
    middle = (len(labels) - 1) / 2
    axis.set_yticks([rows * index + middle for index in range(len(groups))], list(groups))
    axis.set(xlabel="percent", xlim=(0, 112))
    axis.invert_yaxis()
    axis.margins(y=0.01)
    image.suptitle(title)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=8, frameon=False)
    return _to_png(image)


def draw_intervals(title: str, panels: Mapping[str, Sequence[Interval]]) -> bytes:
    """Draw values with their intervals as horizontal bars, one panel for each unit.

    Args:
        panels: The values by their unit.
    """
    heights = [len(panel) + 1 for panel in panels.values()]
    figure = _new_figure(7, 0.9 + 0.35 * sum(heights))
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for axis, (unit, panel) in zip(axes[:, 0], panels.items(), strict=True):
        values = [one.value for one in panel]
        below = [max(one.value - one.low, 0) for one in panel]
        above = [max(one.high - one.value, 0) for one in panel]
        axis.barh([one.name for one in panel], values, color="#8fb3e0", height=0.6)
        axis.errorbar(
            values, range(len(panel)), xerr=[below, above], fmt=".", color="#1f3f6f", capsize=3
        )
        axis.invert_yaxis()
        axis.set(xlabel=unit, xlim=(0, None))
    figure.suptitle(title)
    return _to_png(figure)


def _new_figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _to_png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    # Without the version of matplotlib in the file, the same chart is the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
