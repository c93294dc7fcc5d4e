"""What has to be set before the first test module is imported, and before the first operator runs."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stand_in_compilers import StandInCompilers

if TYPE_CHECKING:
    from kandinsky.cpu_kernels.library import Library

_NO_LIBRARY = "nothing here builds the CPU's fast paths, which takes GCC 12 or newer, or a recent Clang"

# Without it MindSpore's 3×3 convolutions are a hundred times slower on CPUs with AVX-512; read at its first operator.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


@pytest.fixture(scope="session", autouse=True)
def operators_of_the_main_thread() -> None:
    """Without a launching thread small operators run many times faster on two cores, and errors name their place.

    Here and not beside the tests that need it: once an operator has run in this process, whichever test ran it, the
    same call makes every later operator several times slower instead. Who collects no test of MindSpore's needs none.
    """
    if (mindspore := sys.modules.get("mindspore")) is not None:
        mindspore.runtime.launch_blocking()


@pytest.fixture(scope="session")
def library() -> "Library":
    """The CPU's operators. Where nothing builds them their tests are left out visibly; in CI that fails."""
    from kandinsky.cpu_kernels.build import build_library

    built = build_library()
    if built is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(_NO_LIBRARY)
    return built


@pytest.fixture
def stand_in_compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInCompilers:
    """No compiler on the PATH but those that a test adds, and nothing built so far."""
    compilers = StandInCompilers(tmp_path / "compilers")
    monkeypatch.setenv("PATH", str(compilers.folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return compilers


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    left_out = sum(_NO_LIBRARY in str(report.longrepr) for report in skipped)
    if left_out:
        terminalreporter.write_line(f"{left_out} tests were left out: {_NO_LIBRARY}")
