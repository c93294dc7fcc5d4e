"""How long the real servers take from their process's start to ready, on the demo's checkpoint, and what goes where.

Each start is a fresh process on a port that the system chooses. The phases are the ones that the server logs itself;
what the clock here shows beyond them is the interpreter's start. Reading is files, weights, their layout
and their digests; compiling is MindSpore's; each compiled graph's first run is told beside it; warm-up is the rest
until ready.

Each round has three starts: the first on a new machine, with an empty cache, which builds the CPU's operators and
compiles all graphs; the first of a model where the operators are built; and one that finds everything kept. The first
two are compared with what building, reading and compiling up to each graph's first result took in themselves, and the
last with what it took in the second; strict ratios leave the first runs out. Beside them stands what importing
MindSpore alone takes, in a process of its own.
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
_PHASES = ("import", "operators", "read", "compile", "first_run", "warm_up")
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
        build_seconds: what building the operators took, most of it beside the imports; 0 where they were there.
        mindspore_seconds: what importing MindSpore alone takes, measured by itself before this start.
        graphs: how many it has.
        graphs_found: how many of them it did not compile.
        peak_bytes: most memory that it had resident.
    """

    seconds: float
    cpu_seconds: float
    phases: dict[str, float]
    build_seconds: float
    mindspore_seconds: float
    graphs: int
    graphs_found: int
    peak_bytes: int

    @property
    def read_and_compile_seconds(self) -> float:
        """Where nothing is found: building, reading and compiling, up to each graph's first result."""
        return self.strictly_seconds + self.phases["first_run"]

    @property
    def strictly_seconds(self) -> float:
        """The same, where first runs count as neither."""
        return self.build_seconds + self.phases["read"] + self.phases["compile"]


@dataclass(frozen=True)
class _Round:
    """A start on a new machine, one of a new model, and one that finds what was compiled."""

    new: _Start
    first: _Start
    again: _Start


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    models = Path(arguments.models)
    rounds = {tier: _rounds(tier, models / tier, arguments.rounds) for tier in ("decoder", "prior")}
    columns = ("seconds", "cpu", *_PHASES, "build", "mindspore", "MiB")
    print(f"{'server':20}" + "".join(f"{name:>10}" for name in columns))
    for tier, found in rounds.items():
        for each in found:
            _print_start(f"{tier}, new machine", each.new)
            _print_start(f"{tier}, first", each.first)
            _print_start(f"{tier}, again", each.again)
    for tier in rounds:
        on_disk, elements = _weights(models / tier)
        print(f"{tier}: weights of {on_disk / _MIB:.1f} MiB on disk, {4 * elements / _MIB:.1f} MiB in float32")
    print(record(vars(arguments), {tier: [asdict(each) for each in found] for tier, found in rounds.items()}))
    print(_result(rounds))


def _print_start(name: str, start: _Start) -> None:
    seconds = (start.seconds, start.cpu_seconds, *start.phases.values(), start.build_seconds, start.mindspore_seconds)
    print(f"{name:20}" + "".join(f"{each:10.2f}" for each in seconds) + f"{start.peak_bytes / _MIB:10.0f}")


def _rounds(tier: str, model: Path, count: int) -> list[_Round]:
    def start(keep_graphs: bool = True, cache: str | None = None) -> _Start:
        return asyncio.run(_started(tier, model, keep_graphs, cache))

    def new() -> _Start:
        with tempfile.TemporaryDirectory() as cache:
            return start(cache=cache)

    start()
    rounds = [_Round(new=new(), first=start(keep_graphs=False), again=start()) for _ in range(count)]
    if not all(each.again.graphs_found == each.again.graphs for each in rounds):
        raise SystemExit("graphs are not kept on this machine; see that there is a cache folder that can be written to")
    return rounds


def _mindspore_seconds() -> float:
    return float(subprocess.run(_IMPORT, capture_output=True, text=True, check=True).stdout)


async def _started(tier: str, model: Path, keep_graphs: bool, cache: str | None) -> _Start:
    mindspore_seconds = _mindspore_seconds()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        # All cores, as a user's has who sets nothing; other benchmarks start several at once.
        environment = {"OMP_NUM_THREADS": str(os.cpu_count())} | ({} if cache is None else {"XDG_CACHE_HOME": cache})
        keep = "--keep-graphs" if keep_graphs else "--no-keep-graphs"
        server = ServerProcess([f"{tier}_server", "--model", str(model), keep], environment, log)
        began = time.perf_counter()
        await server.start()
        try:
            seconds, cpu_seconds = time.perf_counter() - began, server.cpu_seconds()
            peak_bytes = _peak_bytes(server.process.pid)
        finally:
            await server.end()
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    told = next(line for line in lines if line["logger"] == "worker.startup")
    build_seconds = sum(line.get("seconds", 0.0) for line in lines if line["logger"] == "kandinsky.cpu_kernels")
    phases = {phase: told[f"{phase}_seconds"] for phase in _PHASES}
    graphs, found = int(told["graphs"]), int(told["graphs_found"])
    return _Start(seconds, cpu_seconds, phases, build_seconds, mindspore_seconds, graphs, found, peak_bytes)


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


def _result(rounds: dict[str, list[_Round]]) -> str:
    figures: dict[str, Callable[[_Round], float]] = {
        "new_vs_read_and_compile": lambda each: each.new.seconds / each.new.read_and_compile_seconds,
        "vs_read_and_compile": lambda each: each.again.seconds / each.first.read_and_compile_seconds,
        "strict": lambda each: each.again.seconds / each.first.strictly_seconds,
        "first_vs_read_and_compile": lambda each: each.first.seconds / each.first.read_and_compile_seconds,
        "first_strict": lambda each: each.first.seconds / each.first.strictly_seconds,
        "seconds": lambda each: each.again.seconds,
        "new_seconds": lambda each: each.new.seconds,
        "first_seconds": lambda each: each.first.seconds,
    }
    medians = {
        f"{tier}_{name}": statistics.median(map(figure, found))
        for name, figure in figures.items()
        for tier, found in rounds.items()
    }
    return "RESULT bench-startup " + " ".join(f"{name}={value:.2f}" for name, value in medians.items())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    demo = _ROOT / "demo" / "checkpoint"
    parser.add_argument("--models", default=str(demo.relative_to(_ROOT)), help="folder with prior/ and decoder/")
    parser.add_argument("--rounds", type=int, default=5, help="how often each server is started, twice each time")
    return parser.parse_args()


if __name__ == "__main__":
    main()
