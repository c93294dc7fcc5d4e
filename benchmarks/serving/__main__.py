"""Serving, against general model servers: the same networks, prompts and seeds, one machine, one after the other.

Mixed requests come as a Poisson process, at 80 % of what one process can do that makes them one at a time; of that
come the latencies. A server keeps up with that or does not, so throughput is measured on further requests of the same
kind that come all at once. Every request has a prompt of its own. Run it with the interpreter that has the peers.
"""

import argparse
import asyncio
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.alone import Alone
from benchmarks.record import record, versions
from benchmarks.serving import loads
from benchmarks.serving.alone import measure_alone
from benchmarks.serving.comparing import levels_apart
from benchmarks.serving.environment import environment
from benchmarks.serving.http_peer import HttpPeer
from benchmarks.serving.job import Job
from benchmarks.serving.measuring import Measured, measure, summed_up
from benchmarks.serving.ours import Ours
from benchmarks.serving.peer_apis import PEERS
from benchmarks.serving.report import Row, print_table, result_lines
from benchmarks.serving.settings import ROOT, SKETCH, Settings
from benchmarks.serving.system import System

_MOST_LEVELS_APART = 1


def main() -> None:
    """Runs it and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--requests", type=int, default=100, help="of the mixed trace")
    parser.add_argument("--at-once", type=int, default=40, help="requests that come all at once")
    parser.add_argument("--seed", type=int, default=0, help="of both")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="OMP_NUM_THREADS of every process")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS), help="which")
    parser.add_argument("--peer-workers", type=int, default=1, help="processes with the pipeline, of each peer")
    parser.add_argument("--logs", type=Path, default=ROOT / "out" / "bench-serving", help="folder for servers' logs")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    arguments.logs.mkdir(parents=True, exist_ok=True)
    asyncio.run(_until_told(arguments))


async def _until_told(arguments: argparse.Namespace) -> None:
    """The run; SIGTERM ends it as Ctrl-C does, with everything stopped."""
    running = asyncio.create_task(_run(arguments))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await running


async def _run(arguments: argparse.Namespace) -> None:
    image = SKETCH.read_bytes()
    settings = _settings(arguments)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        variables = environment(settings, arguments.threads, folder)
        alone = await measure_alone(variables, arguments.logs / "alone.log")
        for shape, (rest_seconds, step_seconds) in alone.seconds.items():
            print(f"alone, {shape.width_px} px: {rest_seconds:.3f} s and {step_seconds:.4f} s a step", flush=True)
        mixed = loads.mixed_trace(settings, arguments.requests, alone, arguments.seed, image)
        crowd = loads.crowd(settings, arguments.at_once, alone, arguments.seed, image)
        warm_up = loads.warm_up(settings, image)
        measured = {}
        for system in _systems(arguments, variables, warm_up[0][0]):
            measured[system.name] = await measure(system, warm_up, mixed, crowd)
            print(f"{system.name}: measured", flush=True)
    _report(arguments, alone, _rows(measured, mixed, crowd))


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings("demo/checkpoint", sides_px=(64, 128), batch_sizes=(1, 2, 4), workers=arguments.peer_workers)


def _systems(arguments: argparse.Namespace, variables: Mapping[str, str], probe: Job) -> Sequence[System]:
    """Ours first."""
    return [
        Ours(_settings(arguments), variables, arguments.logs),
        *(HttpPeer(name, PEERS[name], variables, arguments.logs / f"{name}.log", probe) for name in arguments.peers),
    ]


def _rows(measured: Mapping[str, Measured], mixed: loads.Load, crowd: loads.Load) -> dict[str, Row]:
    """Each system's figures; the first error of each is told."""
    rows = {}
    ours = next(iter(measured.values()))
    for name, own in measured.items():
        outcomes = [*own.mixed, *own.crowd]
        for outcome in [outcome for outcome in outcomes if outcome.picture is None][:1]:
            print(f"{name}: {outcome.error}")
        of_mixed, errors_of_mixed = summed_up(own.mixed, mixed)
        of_crowd, errors_of_crowd = summed_up(own.crowd, crowd)
        errors = errors_of_mixed + errors_of_crowd
        apart = levels_apart(outcomes, [*ours.mixed, *ours.crowd])
        rows[name] = Row(of_mixed, of_crowd, errors, own.memory_peak_bytes, own.start_seconds, apart)
    return rows


def _report(arguments: argparse.Namespace, alone: Alone, rows: Mapping[str, Row]) -> None:
    ours = next(iter(rows))
    config = {name: value for name, value in vars(arguments).items() if name not in ("logs", "peers")}
    print_table(rows)
    alone_seconds = {shape.width_px: pair for shape, pair in alone.seconds.items()}
    print(
        record(
            {**asdict(_settings(arguments)), "load": loads.LOAD, **config, "alone_seconds": alone_seconds},
            {name: asdict(row) for name, row in rows.items()},
            versions(PEERS[name].package for name in arguments.peers),
        )
    )
    for line in result_lines(rows, ours):
        print(line)
    if rows[ours].errors or any(row.levels_apart > _MOST_LEVELS_APART for row in rows.values()):
        raise SystemExit("bench-serving: requests failed here, or the systems' pictures differ")


if __name__ == "__main__":
    main()
