"""``python -m deploy.prometheus.operator``: write the rules for the operator and the chart."""

from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parent / "alerts.yml"
FILE = Path(__file__).parents[1] / "kubernetes/components/monitoring/rules.yaml"
CHART_FILE = Path(__file__).parents[1] / "helm/minigpt4-service/files/alerts.yaml"
HEAD = "# Written by `python -m deploy.prometheus.operator` from deploy/prometheus/alerts.yml.\n"


def prometheus_rule() -> dict[str, Any]:
    """Return a PrometheusRule with the groups of ``alerts.yml``."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "minigpt4-service"},
        "spec": yaml.safe_load(RULES.read_text()),
    }


if __name__ == "__main__":
    FILE.write_text(HEAD + yaml.safe_dump(prometheus_rule(), sort_keys=False, width=110))
    CHART_FILE.write_text(HEAD + RULES.read_text())
