"""Command line: writes the checkpoint, runs each tier in a process of its own, prints the table and the two ratios."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

_STAGES = ("write", "prior", "decoder")
_MOST_LOAD_VS_READ = 1.5
_MOST_MEMORY_VS_WEIGHTS = 1.2


def main() -> None:
    """Runs every stage, or, in a child process, the one that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m scripts.full_size", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("out/full-size"), help="where the 6.6 GB go; must not exist"
    )
    parser.add_argument("--keep", action="store_true", help="leave the checkpoint there")
    parser.add_argument("--stage", choices=_STAGES, help="run one stage only, on a folder that was kept")
    arguments = parser.parse_args()
    if arguments.stage is not None:
        _run_stage(arguments.stage, arguments.folder)
        return
    if arguments.folder.exists():
        parser.error(f"{arguments.folder} exists; remove it or choose another --folder")
    try:
        sys.exit(_report([line for stage in _STAGES for line in _child(stage, arguments.folder)]))
    finally:
        if not arguments.keep:
            shutil.rmtree(arguments.folder, ignore_errors=True)


def _run_stage(stage: str, folder: Path) -> None:
    # MindSpore is imported in the children only, and reads this variable at its first operator.
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    from scripts.full_size.tiers import run_decoder, run_prior
    from scripts.full_size.writing import write_checkpoint

    if stage == "write":
        write_checkpoint(folder)
    else:
        (run_prior if stage == "prior" else run_decoder)(folder / stage)


def _child(stage: str, folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "scripts.full_size", "--stage", stage, "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        if "name" in line:
            print(f"{line['tier']:8} {line['name']:32} {line['seconds']:8.2f} s {line['peak_bytes'] / 1e9:8.2f} GB")
    return lines


def _report(lines: list[dict[str, Any]]) -> int:
    """Prints the ratios; the exit status says whether both are within their limits."""
    from scripts.full_size.measuring import LOAD, READ

    seconds: dict[str, float] = defaultdict(float)
    memory: list[float] = []
    weights = {line["tier"]: line["weights_bytes"] for line in lines if "weights_bytes" in line}
    for line in (line for line in lines if "name" in line):
        seconds[line["name"]] += line["seconds"]
        if line["name"] == LOAD:
            memory.append(line["peak_bytes"] / weights[line["tier"]])
            print(
                f"{line['tier']}: peak while loading {memory[-1]:.2f} × weights ({weights[line['tier']] / 1e9:.2f} GB)"
            )
    load_vs_read, memory_vs_weights = seconds[LOAD] / seconds[READ], max(memory)
    print(f"RESULT full-size load_vs_read={load_vs_read:.2f} memory_vs_weights={memory_vs_weights:.2f}")
    return int(load_vs_read > _MOST_LOAD_VS_READ or memory_vs_weights > _MOST_MEMORY_VS_WEIGHTS)


if __name__ == "__main__":
    main()
