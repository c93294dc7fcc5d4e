"""Alerts, dashboard and page speak of metrics that the servers have, and of nothing else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from serving.metrics import GatewayMetrics, WorkerMetrics

ROOT = Path(__file__).parents[2]
ALERTS = (ROOT / "operations" / "alerts.yaml").read_text()
CASES = (ROOT / "operations" / "alerts_test.yaml").read_text()
DASHBOARD = (ROOT / "operations" / "dashboard.json").read_text()
PAGE = (ROOT / "docs" / "operations.md").read_text()


def families() -> Iterator[tuple[str, str]]:
    """Name and type of every metric of ours."""
    for metrics in (GatewayMetrics(), WorkerMetrics()):
        for family in metrics.registry.collect():
            if family.name.startswith("kandinsky_"):
                yield family.name, family.type


def samples() -> set[str]:
    endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {name + ending for name, kind in families() for ending in endings[kind]}


def test_alerts_and_dashboard_ask_for_what_there_is() -> None:
    for text in (ALERTS, CASES, DASHBOARD):
        assert set(re.findall(r"\bkandinsky_\w+", text)) <= samples()


def test_every_metric_is_on_the_dashboard_and_on_the_page() -> None:
    shown = set(re.findall(r"\bkandinsky_\w+", DASHBOARD))
    for name, _ in families():
        assert any(each.startswith(name) for each in shown), name
        assert name in PAGE


def test_every_alert_has_its_case_and_its_entry_on_the_page() -> None:
    alerts = re.findall(r"alert: (\w+)", ALERTS)
    assert alerts
    for alert in alerts:
        assert f"docs/operations.md#{alert.lower()}\n" in ALERTS
        assert CASES.count(f"alertname: {alert}\n") >= 1
        assert f"\n### {alert}\n" in PAGE


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert all(panel.get("description") for panel in panels if panel["type"] != "row")
