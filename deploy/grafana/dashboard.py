"""``python -m deploy.grafana.dashboard``: write the Grafana dashboard from the panels."""

import json
from pathlib import Path
from typing import Any

from deploy.grafana.panels import ROWS, Panel

FILE = Path(__file__).parent / "dashboards" / "minigpt4.json"
COLUMNS = 3
WIDTH, HEIGHT = 24 // COLUMNS, 8
"""Grafana's grid has 24 columns."""

SOURCE = {"type": "prometheus", "uid": "prometheus"}


def dashboard() -> dict[str, Any]:
    """Return the whole dashboard in Grafana's JSON model."""
    return {
        "uid": "minigpt4",
        "title": "MiniGPT-4 service",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [_job_variable()]},
        "panels": _panels(),
    }


def _panels() -> list[dict[str, Any]]:
    drawn: list[dict[str, Any]] = []
    top = 0
    for question, panels in ROWS.items():
        drawn.append(_row(question, top))
        for index, panel in enumerate(panels):
            x, y = index % COLUMNS * WIDTH, top + 1 + index // COLUMNS * HEIGHT
            drawn.append(_graph(panel, x, y))
        top += 1 + -(-len(panels) // COLUMNS) * HEIGHT
    return [{"id": number, **panel} for number, panel in enumerate(drawn, 1)]


def _row(title: str, y: int) -> dict[str, Any]:
    position = {"x": 0, "y": y, "w": 24, "h": 1}
    return {"type": "row", "title": title, "gridPos": position, "collapsed": False, "panels": []}


def _graph(panel: Panel, x: int, y: int) -> dict[str, Any]:
    stacking = {"mode": "normal" if panel.stacked else "none"}
    custom = {
        "stacking": stacking,
        "fillOpacity": 20 if panel.stacked else 0,
        "showPoints": "never",
    }
    return {
        "type": "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": custom},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": query, "legendFormat": legend}
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _job_variable() -> dict[str, Any]:
    return {
        "name": "job",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(minigpt4_encoder_queue_length, job)",
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def main() -> None:
    """Write the file that Grafana reads."""
    FILE.write_text(json.dumps(dashboard(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
