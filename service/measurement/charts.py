"""Charts as PNG bytes, drawn with matplotlib (extra ``train``), which is imported when a chart is drawn."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

COLOURS = ("#1f5fbf", "#d9622b", "#2f8f4e", "#8a4fbf", "#b8992e", "#c23b5a")
SMOOTHING = 50
"""A curve's bold line is the mean over this part of its points, 1/50."""

MISSING = "matplotlib is not installed, so there is no plot: pip install 'minigpt4-service[train]'"


@dataclass(frozen=True)
class Curve:
    """A named line through points ``(x, y)``."""

    name: str
    points: Sequence[tuple[float, float]]


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_curves(title: str, x_name: str, curves: Sequence[Curve]) -> bytes:
    """A line chart from zero upwards: each curve faint as measured, and bold as its moving mean."""
    figure, axis = _new_figure(7.6, 4.2)
    for curve, colour in zip(curves, COLOURS, strict=False):
        if not curve.points:
            continue
        x, y = np.array(curve.points, dtype=float).reshape(-1, 2).T
        axis.plot(x, y, color=colour, alpha=0.25, linewidth=1, marker="." if len(x) == 1 else "")
        window = max(1, len(x) // SMOOTHING)
        mean = np.convolve(y, np.ones(window) / window, mode="valid")
        axis.plot(x[window - 1 :], mean, color=colour, linewidth=2, label=curve.name)
    axis.set(title=title, xlabel=x_name, ylim=(0, None))
    axis.grid(color="#dddddd")
    if axis.get_legend_handles_labels()[0]:
        axis.legend()
    return _to_png(figure)


def draw_bars(labels: Sequence[str], groups: Mapping[str, Sequence[float | None]]) -> bytes:
    """Shares in percent as horizontal bars, grouped by figure.

    Args:
        labels: Name of each series.
        groups: Share of each series by the figure's name; None where it was not measured.
    """
    rows = len(labels) + 0.6
    figure, axis = _new_figure(7.6, 0.8 + 0.19 * rows * len(groups) + 0.2 * len(labels))
    for number, (label, colour) in enumerate(zip(labels, COLOURS, strict=False)):
        values = [group[number] for group in groups.values()]
        places = [rows * index + number for index in range(len(groups))]
        bars = axis.barh(
            places, [100 * (value or 0) for value in values], height=0.8, color=colour, label=label
        )
        texts = ["not asked" if value is None else f"{100 * value:.1f}" for value in values]
        axis.bar_label(bars, texts, padding=3, fontsize=7)
    middle = (len(labels) - 1) / 2
    axis.set_yticks([rows * index + middle for index in range(len(groups))], list(groups))
    axis.set(xlabel="percent", xlim=(0, 112))
    axis.invert_yaxis()
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=8, frameon=False)
    return _to_png(figure)


def _new_figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    return figure, figure.subplots()


def _to_png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
