"""The dashboard and the alerts query existing series, with valid PromQL."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deploy.grafana import dashboard
from deploy.grafana.panels import ROWS
from deploy.prometheus import operator
from tests.deploy.tools import ROOT, series
from tests.programs import program, run
from tests.server import ServerProcess

RULES = ROOT / "deploy" / "prometheus"
SERIES = re.compile(r"\b(?:vllm:|minigpt4_|http_|process_)\w+")


def queries() -> list[str]:
    return [
        query for panels in ROWS.values() for panel in panels for query in panel.queries.values()
    ]


def alert_expressions() -> list[str]:
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def test_the_dashboard_file_agrees_with_the_panels() -> None:
    written = json.loads(dashboard.FILE.read_text())
    assert written == dashboard.dashboard(), "run `python -m deploy.grafana.dashboard`"


def test_the_operators_rules_are_those_of_prometheus() -> None:
    written = yaml.safe_load(operator.FILE.read_text())
    assert written == operator.prometheus_rule(), "run `python -m deploy.prometheus.operator`"
    in_chart = yaml.safe_load(operator.CHART_FILE.read_text())
    assert in_chart == operator.prometheus_rule()["spec"]


def test_panels_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard.dashboard()["panels"]:
        at = panel["gridPos"]
        taken = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells
        assert at["x"] + at["w"] <= 24
        cells |= taken


def test_prometheus_accepts_its_configuration_and_the_rules_hold() -> None:
    promtool = program("promtool")
    run(promtool, "check", "config", RULES / "prometheus.yml")
    run(promtool, "test", "rules", RULES / "alerts_test.yml")


def test_prometheus_accepts_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": "checked", "expr": query.replace("$__rate_interval", "1m")}
        for query in queries()
    ]
    file = tmp_path / "rules.yml"
    # The group is one that may repeat a record's name: only the queries are looked at.
    groups = [{"name": str(number), "rules": [rule]} for number, rule in enumerate(rules)]
    file.write_text(yaml.safe_dump({"groups": groups}))
    run(program("promtool"), "check", "rules", "--lint=none", file)


def test_all_queried_series_exist(server: ServerProcess) -> None:
    asked = {name for query in [*queries(), *alert_expressions()] for name in SERIES.findall(query)}
    assert len(asked) > 20
    assert asked <= series(server.url)


@pytest.mark.parametrize("name", ["prometheus.yml", "alerts.yml"])
def test_compose_mounts_the_checked_files(name: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    source = compose["services"]["prometheus"]["volumes"][0].split(":")[0]
    assert (ROOT / source / name).is_file()
