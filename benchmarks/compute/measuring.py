"""The sides' processes, and a case measured on all of them in turn."""

import json
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.compute.cases import Case


@dataclass(frozen=True)
class Row:
    """A case's medians in seconds, and how far the outputs lie apart, relative to the largest.

    plain_seconds is without the fast paths, and None where that was not run.
    """

    case: Case
    torch_seconds: float
    fast_seconds: float
    plain_seconds: float | None
    difference: float

    @property
    def ratio(self) -> float:
        """Ours ÷ torch's."""
        return self.fast_seconds / self.torch_seconds


class Side:
    """A side's process.

    Attributes:
        versions: of the packages it computes with.
    """

    def __init__(self, python: str, side: str, checkpoint: Path, outputs: Path) -> None:
        self._outputs, self._side = outputs, side
        command = [python, "-m", "benchmarks.compute.side", side, str(checkpoint), str(outputs)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions: dict[str, str] = self._answer()

    def seconds(self, case: Case) -> float:
        """Of one run of the case; the first compiles before."""
        if self._process.stdin is None:
            raise RuntimeError("the process has no stdin")
        self._process.stdin.write(f"{case}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def output(self, case: Case) -> npt.NDArray[np.float64]:
        """What the case gave."""
        array: npt.NDArray[np.float64] = np.load(self._outputs / f"{self._side} {case}.npy").astype(np.float64)
        return array

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _answer(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the {self._side} side has ended")
        return json.loads(line)


def measure(sides: Mapping[str, Side], case: Case, rounds: int) -> Row:
    """The case on all sides, round by round."""
    for side in sides.values():
        side.seconds(case)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            seconds[name].append(side.seconds(case))
    expected = sides["torch"].output(case)
    difference = float(np.abs(sides["fast"].output(case) - expected).max() / np.abs(expected).max())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return Row(case, medians["torch"], medians["fast"], medians.get("plain"), difference)
