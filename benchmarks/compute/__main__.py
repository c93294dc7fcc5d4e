"""Time of each network against torch and diffusers, on random weights; outputs are compared as well.

Of the middle size, or with --full of Kandinsky 2.1's own. Both sides are processes that take turns, case by case and
round by round. Needs torch in an interpreter of its own.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.compute.cases import Case

_CONFIGS = Path(__file__).parent / "middle"
_TOKENIZERS = Path("tests/reference/tiny")
_MIDDLE = [
    *(Case("unet", batch, 256) for batch in (1, 2, 4, 8)),
    Case("unet", 2, 512),
    Case("movq_encode", 1, 256),
    Case("movq_decode", 1, 256),
    Case("movq_decode", 1, 512),
    Case("prior", 2),
    Case("clip_text", 1),
    Case("xlm_roberta", 1),
]
# Of Kandinsky 2.1's own size: those that are in memory together, and only beside torch.
_FULL = [[Case("unet", 2, 256), Case("unet", 2, 512), Case("movq_decode", 1, 512)], [Case("prior", 2)]]


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


class _Side:
    """A side's process."""

    def __init__(self, python: str, side: str, checkpoint: Path, outputs: Path) -> None:
        self._outputs, self._side = outputs, side
        command = [python, "-m", "benchmarks.compute.side", side, str(checkpoint), str(outputs)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def seconds(self, case: Case) -> float:
        """Of one run of the case; the first compiles before."""
        if self._process.stdin is None:
            raise RuntimeError("the process has no stdin")
        self._process.stdin.write(f"{case}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def output(self, case: Case) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
        """What the case gave."""
        array: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = np.load(
            self._outputs / f"{self._side} {case}.npy"
        ).astype(np.float64)
        return array

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _answer(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the {self._side} side has ended")
        return line.strip()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compute", description=__doc__)
    parser.add_argument("--torch-python", required=True, help="an interpreter with the extra [reference]")
    parser.add_argument("--folder", type=Path, default=Path("out/compute"), help="for the checkpoint and outputs")
    parser.add_argument("--configs", type=Path, default=_CONFIGS, help="component configs in the hub's layout")
    parser.add_argument("--full", action="store_true", help="Kandinsky 2.1's own size: 7 GB of disk, 16 of memory")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    checkpoint = arguments.folder / ("full" if arguments.full else arguments.configs.name)
    if not (checkpoint / "decoder" / "unet").exists():
        arguments.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(_writing(arguments, checkpoint), check=True)
    python = {"torch": arguments.torch_python, "fast": sys.executable}
    if not arguments.full:
        python["plain"] = sys.executable
    rows = []
    for cases in _FULL if arguments.full else [_MIDDLE]:
        sides = {side: _Side(python[side], side, checkpoint, arguments.folder) for side in python}
        rows += [_measure(sides, case, arguments.rounds) for case in cases]
        for side in sides.values():
            side.close()
    print(json.dumps({"machine": platform.platform(), "cores": os.cpu_count(), "rows": [asdict(row) for row in rows]}))
    print(_result(rows, full=arguments.full))


def _writing(arguments: argparse.Namespace, checkpoint: Path) -> list[str]:
    """The command that writes the checkpoint."""
    if arguments.full:
        return [sys.executable, "-m", "scripts.full_size", "--stage", "write", "--folder", str(checkpoint)]
    command = [arguments.torch_python, "-m", "scripts.reference", "checkpoint", str(arguments.configs), str(checkpoint)]
    return [*command, "--tokenizers", str(_TOKENIZERS)]


def _measure(sides: dict[str, _Side], case: Case, rounds: int) -> Row:
    for side in sides.values():
        side.seconds(case)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            seconds[name].append(side.seconds(case))
    expected = sides["torch"].output(case)
    difference = float(np.abs(sides["fast"].output(case) - expected).max() / np.abs(expected).max())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    row = Row(case, medians["torch"], medians["fast"], medians.get("plain"), difference)
    plain = "" if row.plain_seconds is None else f"without fast paths {row.plain_seconds:8.4f} s  "
    print(
        f"{row.case!s:22} torch {row.torch_seconds:8.4f} s  ours {row.fast_seconds:8.4f} s ({row.ratio:.2f})  "
        f"{plain}outputs {row.difference:.1e} apart",
        flush=True,
    )
    return row


def _result(rows: list[Row], *, full: bool) -> str:
    ratios = {row.case: row.ratio for row in rows}
    if full:
        return (
            f"RESULT bench-compute-full unet_256_vs_torch={ratios[Case('unet', 2, 256)]:.3f} "
            f"unet_512_vs_torch={ratios[Case('unet', 2, 512)]:.3f} "
            f"movq_decode_vs_torch={ratios[Case('movq_decode', 1, 512)]:.3f} "
            f"prior_vs_torch={ratios[Case('prior', 2)]:.3f}"
        )
    return (
        f"RESULT bench-compute unet_vs_torch={ratios[Case('unet', 2, 256)]:.3f} "
        f"movq_decode_vs_torch={ratios[Case('movq_decode', 1, 512)]:.3f} prior_vs_torch={ratios[Case('prior', 2)]:.3f}"
    )


if __name__ == "__main__":
    main()
