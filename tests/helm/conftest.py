"""These tests need tools, which `make helm-test` installs. Without them they are left out visibly; in CI it fails."""

import importlib.util
import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_MISSING = [
    *(name for name in ("helm", "promtool", "node_modules") if not (_ROOT / ".tools" / name).exists()),
    *(name for name in ("helm_python", "kubernetes_validate", "jsonschema_rs") if not importlib.util.find_spec(name)),
]
if _MISSING and os.environ.get("CI") == "true":
    raise pytest.UsageError(f"the chart's tests need {', '.join(_MISSING)}: run them by `make helm-test`")

_NO_CONTROL_PLANE = "KUBEBUILDER_ASSETS" not in os.environ

# Without the tools nothing here can even be imported.
collect_ignore_glob = ["test_*.py"] if _MISSING else ["test_control_plane.py"] if _NO_CONTROL_PLANE else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _NO_CONTROL_PLANE:
        terminalreporter.write_line("tests/helm/test_control_plane.py: NOT RUN, for KUBEBUILDER_ASSETS is not set")
    if _MISSING:
        terminalreporter.write_line(f"tests/helm was left out, without {', '.join(_MISSING)}: make helm-test runs it")
