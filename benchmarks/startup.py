"""How long the real servers take from their process's start to ready, on the demo's checkpoint, and what goes where.

Each start is a fresh process on a port that the system chooses. The phases are the ones that the server logs itself;
what the clock here shows beyond them is the interpreter's start. Reading is files, weights, their layout
and their digests; compiling is MindSpore's; each compiled graph's first run is told beside it; warm-up is the rest
until ready. What the start is compared with is reading and compiling up to each graph's first result; the strict ratio
leaves the first runs out. Beside them stands what importing MindSpore alone takes, in a process of its own.
"""

import argparse
import asyncio
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.record import record
from benchmarks.server_process import ServerProcess

_ROOT = Path(__file__).resolve().parent.parent
_PHASES = ("import", "read", "compile", "first_run", "warm_up")
_MIB = 2**20
# As the servers import it: without the garbage collector, see serving/bootstrap.py.
_PROGRAM = "import gc, time; gc.disable(); t = time.perf_counter(); import mindspore; print(time.perf_counter() - t)"
_IMPORT = (sys.executable, "-c", _PROGRAM)


@dataclass(frozen=True)
class _Start:
    """One start.

    Attributes:
        seconds: from the process's start to its line that it is ready.
        cpu_seconds: processor time of all its threads.
        phases: seconds, as logged.
        mindspore_seconds: what importing MindSpore alone takes, measured by itself before this start.
        peak_bytes: most memory that it had resident.
    """

    seconds: float
    cpu_seconds: float
    phases: dict[str, float]
    mindspore_seconds: float
    peak_bytes: int

    @property
    def over_read_and_compile(self) -> float:
        """How much longer it took than reading and compiling alone, up to each graph's first result."""
        return self.seconds / (self._read_and_compile_seconds + self.phases["first_run"])

    @property
    def strictly_over(self) -> float:
        """The same, where first runs count as neither."""
        return self.seconds / self._read_and_compile_seconds

    @property
    def over_import_read_and_compile(self) -> float:
        """The same as the first, with what importing MindSpore takes on this side, too."""
        return self.seconds / (self._read_and_compile_seconds + self.phases["first_run"] + self.mindspore_seconds)

    @property
    def _read_and_compile_seconds(self) -> float:
        return self.phases["read"] + self.phases["compile"]


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    models = Path(arguments.models)
    starts = {
        tier: [asyncio.run(_started(tier, models / tier, _mindspore_seconds())) for _ in range(arguments.rounds)]
        for tier in ("decoder", "prior")
    }
    print(f"{'server':8}" + "".join(f"{name:>11}" for name in ("seconds", "cpu", *_PHASES, "mindspore", "MiB")))
    for tier, found in starts.items():
        for start in found:
            seconds = (start.seconds, start.cpu_seconds, *start.phases.values(), start.mindspore_seconds)
            print(f"{tier:8}" + "".join(f"{each:11.2f}" for each in seconds) + f"{start.peak_bytes / _MIB:11.0f}")
    for tier in starts:
        on_disk, elements = _weights(models / tier)
        print(f"{tier}: weights of {on_disk / _MIB:.1f} MiB on disk, {4 * elements / _MIB:.1f} MiB in float32")
    print(record(vars(arguments), {tier: [asdict(start) for start in found] for tier, found in starts.items()}))
    print(_result(starts))


def _mindspore_seconds() -> float:
    return float(subprocess.run(_IMPORT, capture_output=True, text=True, check=True).stdout)


async def _started(tier: str, model: Path, mindspore_seconds: float) -> _Start:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        # All cores, as a user's has who sets nothing; other benchmarks start several at once.
        environment = {"OMP_NUM_THREADS": str(os.cpu_count())}
        server = ServerProcess([f"{tier}_server", "--model", str(model)], environment, log)
        began = time.perf_counter()
        await server.start()
        try:
            seconds, cpu_seconds = time.perf_counter() - began, server.cpu_seconds()
            return _Start(seconds, cpu_seconds, _phases(log), mindspore_seconds, _peak_bytes(server.process.pid))
        finally:
            await server.end()


def _phases(log: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    started = next(line for line in lines if line["logger"] == "worker.startup")
    return {phase: started[f"{phase}_seconds"] for phase in _PHASES}


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s*(\d+) kB", status)
    if peak is None:
        raise SystemExit("the system does not tell a process's peak memory")
    return int(peak[1]) * 2**10


def _weights(model: Path) -> tuple[int, int]:
    """Bytes on disk, and numbers, of all weights of a checkpoint."""
    on_disk, elements = 0, 0
    for path in model.rglob("*.safetensors"):
        on_disk += path.stat().st_size
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        elements += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    return on_disk, elements


def _result(starts: dict[str, list[_Start]]) -> str:
    figures: dict[str, Callable[[_Start], float]] = {
        "vs_read_and_compile": lambda start: start.over_read_and_compile,
        "strict": lambda start: start.strictly_over,
        "beside_mindspore": lambda start: start.over_import_read_and_compile,
        "seconds": lambda start: start.seconds,
    }
    medians = {
        f"{tier}_{name}": statistics.median(map(figure, found))
        for name, figure in figures.items()
        for tier, found in starts.items()
    }
    return "RESULT bench-startup " + " ".join(f"{name}={value:.2f}" for name, value in medians.items())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    demo = _ROOT / "demo" / "checkpoint"
    parser.add_argument("--models", default=str(demo.relative_to(_ROOT)), help="folder with prior/ and decoder/")
    parser.add_argument("--rounds", type=int, default=5, help="how often each server is started")
    return parser.parse_args()


if __name__ == "__main__":
    main()
