"""Scheduling on a simulated device: the planner, one request at a time, and whole-request batching, on one trace.

Jobs come as a Poisson process and need {25, 50, 100} × U(0.1, 1) steps, as image-to-image requests do. The load is that
of a device which serves them one at a time; the unit of time is a step of one row. Two devices: one where n rows take n
times as long as one (a CPU), and one where they take 0.6 + 0.4 × n (an accelerator). Nothing but the planner is real.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.batching.figures import Figures, figures, print_table
from benchmarks.batching.policies import SHAPE, Job, one_at_a_time, step_level, whole_requests
from benchmarks.record import record
from serving.batching.curve import Curve
from serving.batching.limits import Limits
from serving.batching.planner import plan
from serving.batching.table import Table
from serving.batching.work import Request, Row, Stage

STEPS = (25, 50, 100)
LARGEST_BATCH = 8
WINDOW_SECONDS = 5.0
LOAD = 0.8

LINEAR = Curve({(Stage.STEP, SHAPE): {rows: float(rows) for rows in range(1, LARGEST_BATCH + 1)}})
ACCELERATOR = Curve({(Stage.STEP, SHAPE): {rows: 0.6 + 0.4 * rows for rows in range(1, LARGEST_BATCH + 1)}})
BUCKETS = {(Stage.STEP, SHAPE): (1, 2, 4, LARGEST_BATCH)}


def poisson_trace(count: int, load: float, seed: int, steps: Sequence[int] = STEPS) -> list[Job]:
    """So many jobs, in order of arrival.

    Args:
        count: how many.
        load: arriving work ÷ what a device can do that takes a second a step.
        seed: of the trace.
        steps: a job needs one of these numbers, times its strength.
    """
    draw = random.Random(seed)  # noqa: S311 - a trace that can be repeated, no secret
    needed = [max(1, int(draw.choice(steps) * draw.uniform(0.1, 1.0))) for _ in range(count)]
    gap_seconds = statistics.mean(needed) / load
    now_seconds, jobs = 0.0, []
    for own in needed:
        jobs.append(Job(now_seconds, own))
        now_seconds += draw.expovariate(1 / gap_seconds)
    return jobs


def of_jobs(jobs: Sequence[Job], done_seconds: Sequence[float]) -> Figures:
    """Of jobs on a device that takes a second a step, and when each was done."""
    return figures([job.arrival_seconds for job in jobs], done_seconds, [job.steps for job in jobs])


def compare(jobs: Sequence[Job], curve: Curve, limits: Limits) -> dict[str, Figures]:
    """All policies on one trace."""
    return {
        "one at a time": of_jobs(jobs, one_at_a_time(jobs, curve)),
        "whole-request batches": of_jobs(jobs, whole_requests(jobs, curve, LARGEST_BATCH, WINDOW_SECONDS)),
        "planner": of_jobs(jobs, step_level(jobs, curve, limits)),
    }


def saturated(jobs: Sequence[Job]) -> list[Job]:
    """The same jobs, all there from the start."""
    return [Job(0.0, job.steps, job.tenant) for job in jobs]


def plan_seconds(rows: int, curve: Curve) -> float:
    """What one call of the planner takes, with so many requests of one row; the best of ten."""
    table = Table()
    for index in range(rows):
        request = Request(str(index), SHAPE, 1, float(index), tenant=str(index % 4))
        table = table.add([Row(str(index), request, Stage(index % 2), 10 + index % 90)])
    taken = []
    for _ in range(10):
        started = time.perf_counter()
        plan(table, curve, Limits(BUCKETS), float(rows))
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    """Compare and print."""
    arguments = _arguments()
    if arguments.sweep:
        _sweep(arguments.seed)
        return
    jobs = poisson_trace(arguments.jobs, LOAD, arguments.seed)
    results: dict[str, dict[str, Figures]] = {}
    for name, curve in (("linear", LINEAR), ("accelerator", ACCELERATOR)):
        results[name] = compare(jobs, curve, Limits(BUCKETS))
        print_table(f"{name} curve, {LOAD:.0%} load, {len(jobs)} jobs (simulated)", results[name])
    crowd = saturated(jobs[:1000])
    results["saturated"] = compare(crowd, ACCELERATOR, Limits(BUCKETS))
    print_table(f"accelerator-like curve, {len(crowd)} jobs at once (simulated)", results["saturated"])
    print("plan(): " + ", ".join(f"{rows} rows {1e6 * plan_seconds(rows, LINEAR):.0f} µs" for rows in (1, 8, 50, 200)))
    config = {"simulated": True, "load": LOAD, "jobs": arguments.jobs, "seed": arguments.seed}
    print(record(config, {name: {key: asdict(row) for key, row in rows.items()} for name, rows in results.items()}))
    print(f"RESULT simulate-batching {_ratios(results)}")


def _sweep(seed: int) -> None:
    """The planner with more and less ageing, at three loads; steps five times as long, to be quick."""
    print("linear curve, ratios to one at a time (simulated)")
    print(f"{'load':>6}{'ageing':>8}{'mean':>8}{'p95':>8}{'p99':>8}{'slowdown p95':>14}")
    for load in (0.6, 0.8, 0.95):
        jobs = poisson_trace(6000, load, seed, steps=[steps // 5 for steps in STEPS])
        single = asdict(of_jobs(jobs, one_at_a_time(jobs, LINEAR)))
        for ageing in (0.0, 0.25, 0.5, 0.75, 1.0):
            ours = asdict(of_jobs(jobs, step_level(jobs, LINEAR, Limits(BUCKETS, ageing=ageing))))
            ratios = [ours[name] / single[name] for name in ("mean_seconds", "p95_seconds", "p99_seconds")]
            print(f"{load:6}{ageing:8}" + "".join(f"{ratio:8.2f}" for ratio in ratios), end="")
            print(f"{ours['slowdown_p95'] / single['slowdown_p95']:14.2f}")


def _ratios(results: dict[str, dict[str, Figures]]) -> str:
    parts = []
    for name in ("linear", "accelerator"):
        ours, single = results[name]["planner"], results[name]["one at a time"]
        parts += [
            f"{name}_mean_vs_single={ours.mean_seconds / single.mean_seconds:.2f}",
            f"{name}_p99_vs_single={ours.p99_seconds / single.p99_seconds:.2f}",
            f"{name}_slowdown_p95_vs_single={ours.slowdown_p95 / single.slowdown_p95:.2f}",
        ]
    crowd = results["saturated"]
    parts.append(f"saturated_vs_single={crowd['planner'].throughput / crowd['one at a time'].throughput:.2f}")
    return " ".join(parts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs of the trace")
    parser.add_argument("--seed", type=int, default=0, help="of the trace")
    parser.add_argument("--sweep", action="store_true", help="compare settings of the ageing instead")
    return parser.parse_args()


if __name__ == "__main__":
    main()
