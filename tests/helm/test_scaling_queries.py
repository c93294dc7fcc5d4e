"""What autoscalers ask of Prometheus, computed by its own code for two gateways that report the same workers."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rendering import CHART, NAMESPACE, RELEASE, ROOT, TOOLS, render, the, values_of

SERIES = "kandinsky_worker_queued_work_seconds"
LABELS = f'namespace="{NAMESPACE}",app_kubernetes_io_instance="{RELEASE}",tier="DECODER"'


def adapter_query() -> str:
    """The rule for prometheus-adapter in the documentation, as the adapter fills it in."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    (block,) = re.findall(r"```yaml\n(externalRules:.*?)```", page, flags=re.DOTALL)
    (rule,) = yaml.safe_load(block)["externalRules"]
    assert rule["name"]["as"] == yaml.safe_load((CHART / "values.yaml").read_text())["monitoring"]["hpa"]["metric"]
    return str(rule["metricsQuery"].replace("<<.Series>>", SERIES).replace("<<.LabelMatchers>>", LABELS))


def keda_query() -> str:
    """What the rendered ScaledObject asks."""
    (trigger,) = the(render(values_of("keda")), "ScaledObject", "decoder")["spec"]["triggers"]
    return str(trigger["metadata"]["query"])


@pytest.mark.parametrize("query", [adapter_query, keda_query])
def test_a_worker_counts_once_however_many_gateways_tell_of_it(query: Callable[[], str], tmp_path: Path) -> None:
    def series(gateway: str, worker: str, seconds: int, labels: str = LABELS) -> dict[str, str]:
        return {"series": f'{SERIES}{{{labels},pod="{gateway}",worker="{worker}"}}', "values": f"{seconds}x5"}

    other_release = LABELS.replace(RELEASE, "other")
    other_tier = LABELS.replace("DECODER", "PRIOR")
    given = [
        series("gateway-0", "10.0.0.1:50052", 20),
        series("gateway-1", "10.0.0.1:50052", 25),
        series("gateway-0", "10.0.0.2:50052", 10),
        series("gateway-1", "10.0.0.2:50052", 5),
        series("gateway-0", "10.0.0.3:50051", 1000, other_tier),
        series("gateway-0", "10.0.0.4:50052", 1000, other_release),
    ]
    (tmp_path / "rules.yaml").write_text("groups: []\n")
    expected = {"expr": query(), "eval_time": "1m", "exp_samples": [{"value": 35}]}
    test = {"interval": "30s", "input_series": given, "promql_expr_test": [expected]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    command = [str(TOOLS / "promtool"), "test", "rules", "test.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
