"""Draw the dashboard with matplotlib, without Grafana, from the same queries to Prometheus.

``python -m deploy.grafana.preview http://localhost:9090 dashboard.png --minutes 10``
"""

import argparse
import re
import time
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl

from deploy.grafana.panels import ROWS, Panel

COLUMNS = 3
STEP = 5
"""Seconds between two points."""


def series(url: str, query: str, minutes: float) -> list[dict[str, Any]]:
    """Return the result of a range query, with the dashboard's variables filled in."""
    end = time.time()
    filled = query.replace("$job", ".*").replace("$__rate_interval", "30s")
    times = {"start": end - 60 * minutes, "end": end, "step": STEP}
    response = httpx.get(f"{url}/api/v1/query_range", params={"query": filled, **times})
    response.raise_for_status()
    result: list[dict[str, Any]] = response.json()["data"]["result"]
    return result


def draw(axes: Any, panel: Panel, url: str, minutes: float) -> None:
    """Draw one panel."""
    for legend, query in panel.queries.items():
        for line in series(url, query, minutes):
            name = re.sub(r"{{(\w+)}}", lambda found: line["metric"].get(found[1], ""), legend)  # noqa: B023
            start = time.time() - 60 * minutes
            moments = [(moment - start) / 60 for moment, _ in line["values"]]
            values = [float(value) for _, value in line["values"]]
            axes.plot(moments, values, label=name, linewidth=1.2)
    axes.set_title(f"{panel.title} ({panel.unit})", fontsize=9)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=7)
    if axes.lines:
        axes.legend(fontsize=7)


def main() -> None:
    """Draw every panel into one picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prometheus")
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    heights = [-(-len(panels) // COLUMNS) for panels in ROWS.values()]
    figure = plt.figure(figsize=(13, 2.4 * sum(heights) + 1), layout="constrained")
    parts: Any = figure.subfigures(len(ROWS), 1, height_ratios=heights)
    for part, height, (question, panels) in zip(parts, heights, ROWS.items(), strict=True):
        part.suptitle(question, fontsize=12, fontweight="bold")
        grid = part.subplots(height, COLUMNS, squeeze=False).flatten()
        for axes, panel in zip(grid, panels, strict=False):
            draw(axes, panel, arguments.prometheus, arguments.minutes)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
    figure.savefig(arguments.file, dpi=75)


if __name__ == "__main__":
    main()
