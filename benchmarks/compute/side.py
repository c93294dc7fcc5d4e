"""One side as a process: a case a line on stdin is run once, and answered with its seconds.

While the other side runs this one waits for its next line, so both see the same machine.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.compute.cases import Case


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
    print("ready", flush=True)
    for line in sys.stdin:
        case = Case.parse(line)
        if case not in runs:
            runs[case] = networks.run(case)
            np.save(arguments.outputs / f"{arguments.side} {case}.npy", runs[case]())
        started = time.perf_counter()
        runs[case]()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
