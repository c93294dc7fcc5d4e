"""What a worker's start takes, phase by phase, as one line of its log: for whoever asks why it is not ready yet."""

import logging
import os
import time
from pathlib import Path

_log = logging.getLogger("worker.startup")


class StartUp:
    """The phases of a start, from the process's first moment. Built when the imports are done."""

    def __init__(self) -> None:
        self._import_seconds = _process_seconds()
        self._read_until_seconds = self._import_seconds
        self._operators_seconds = 0.0

    def loaded(self, operators_seconds: float) -> None:
        """The model is read: files, weights, their layout, their digests.

        Args:
            operators_seconds: what of the time since the imports went into waiting for the CPU's own operators.
        """
        self._operators_seconds = operators_seconds
        self._read_until_seconds = _process_seconds()

    def ready(self, compile_seconds: float, first_run_seconds: float, graphs: int, graphs_found: int) -> None:
        """Log it all.

        Args:
            compile_seconds: what of the time since then went into compiling.
            first_run_seconds: and into the first run of what was compiled.
            graphs: how many there are.
            graphs_found: how many of them were not compiled but loaded from an earlier start.
        """
        seconds = _process_seconds()
        _log.info(
            "started",
            extra={
                "seconds": seconds,
                "import_seconds": self._import_seconds,
                "operators_seconds": self._operators_seconds,
                "read_seconds": self._read_until_seconds - self._import_seconds - self._operators_seconds,
                "compile_seconds": compile_seconds,
                "first_run_seconds": first_run_seconds,
                "graphs": graphs,
                "graphs_found": graphs_found,
                "warm_up_seconds": seconds - self._read_until_seconds - compile_seconds - first_run_seconds,
            },
        )


def _process_seconds() -> float:
    """How long ago this process was started."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
