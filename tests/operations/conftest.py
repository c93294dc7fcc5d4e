"""Where promtool is: `make helm-test` installs it. Without it its tests are left out visibly; in CI that fails."""

import os
import shutil
from pathlib import Path

import pytest

_TOOL = Path(__file__).parents[2] / ".tools" / "promtool"
_FOUND = str(_TOOL) if _TOOL.exists() else shutil.which("promtool")
if _FOUND is None and os.environ.get("CI") == "true":
    raise pytest.UsageError("the alert rules' tests need promtool: run them by `make helm-test`")

collect_ignore_glob = ["test_promtool.py"] if _FOUND is None else []


@pytest.fixture
def promtool() -> str:
    assert _FOUND is not None
    return _FOUND


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _FOUND is None:
        terminalreporter.write_line(
            "tests/operations/test_promtool.py was left out, without promtool: make helm-test runs it"
        )
