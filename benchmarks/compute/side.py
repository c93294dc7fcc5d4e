"""One side as a process: says its versions; then a case a line on stdin is run, and answered with a run's seconds.

While the other side runs this one waits for its next line, so both see the same machine. What is short runs several
times a turn, the first of them not counted: of a network of a millisecond one run would mostly tell how long threads
take to wake.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.compute.cases import Case
from benchmarks.record import versions

_WARM_UP_RUNS = 40
_WARM_UP_SECONDS = 3.0
_TURN_SECONDS = 0.1


def main() -> None:
    """Serves cases until stdin ends."""
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # for MindSpore; torch brings a oneDNN of its own
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=("fast", "plain", "torch"))
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("outputs", type=Path, help="folder for what each case gives")
    arguments = parser.parse_args()
    if arguments.side == "torch":
        os.environ.pop("ONEDNN_MAX_CPU_ISA")
        from benchmarks.compute.peer import Peer

        networks = Peer(arguments.checkpoint)
    else:
        from benchmarks.compute.ours import Ours

        networks = Ours(arguments.checkpoint, fast=arguments.side == "fast")  # type: ignore[assignment]  # both have run()
    runs = {}
    packages = ("torch", "diffusers", "transformers") if arguments.side == "torch" else ("mindspore",)
    print(json.dumps(versions(packages)), flush=True)
    for line in sys.stdin:
        case = Case.parse(line)
        if case not in runs:
            runs[case] = networks.run(case)
            np.save(arguments.outputs / f"{arguments.side} {case}.npy", runs[case]())
            _warm_up(runs[case])
        print(_seconds(runs[case]), flush=True)


def _seconds(run: Callable[[], object]) -> float:
    """Of one run, of those of this turn the mean."""
    started = time.perf_counter()
    run()
    alone = time.perf_counter() - started
    if alone >= _TURN_SECONDS:
        return alone
    count = 0
    started = time.perf_counter()
    while (taken := time.perf_counter() - started) < _TURN_SECONDS:
        run()
        count += 1
    return taken / count


def _warm_up(run: Callable[[], object]) -> None:
    """Run until what a library tries out at first is settled: MindSpore seeks thread counts for 30 runs of a graph."""
    stop = time.perf_counter() + _WARM_UP_SECONDS
    for _ in range(_WARM_UP_RUNS):
        if time.perf_counter() > stop:
            return
        run()


if __name__ == "__main__":
    main()
