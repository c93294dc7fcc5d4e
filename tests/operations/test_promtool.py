"""The alert rules and the dashboard's queries, by Prometheus's own tool."""

import json
import subprocess
from pathlib import Path

import yaml

OPERATIONS = Path(__file__).parents[2] / "operations"


def run(promtool: str, *arguments: str) -> None:
    done = subprocess.run([promtool, *arguments], cwd=OPERATIONS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alert_rules_are_valid(promtool: str) -> None:
    run(promtool, "check", "rules", "--lint-fatal", "alerts.yaml")


def test_each_alert_fires_when_it_should_and_else_does_not(promtool: str) -> None:
    run(promtool, "test", "rules", "alerts_test.yaml")


def test_the_dashboards_queries_are_valid(promtool: str, tmp_path: Path) -> None:
    panels = json.loads((OPERATIONS / "dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    rules = [
        {"record": f"panel:query:{index}", "expr": query.replace("$__rate_interval", "5m")}
        for index, query in enumerate(queries)
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(promtool, "check", "rules", str(file))
