"""How many workers to choose between, simulated: nothing here is measured. The choice is the gateway's own.

Each worker does whole jobs in order. A gateway knows at once what it has sent itself, and of the others' jobs only what
workers reported some time ago. Times are in steps.
"""

import argparse
from collections.abc import Callable, Sequence
from random import Random

from benchmarks.routing.load import MEAN_STEPS, Job, poisson_jobs
from gateway.routing import Identity, Standing, WorkerView, choose

_WORKERS = 16
_LOAD = 0.8

Chooser = Callable[[Sequence[WorkerView], Random], int]


class _Worker:
    """When a worker will have done all it has: as it is, and as each gateway knows it."""

    def __init__(self) -> None:
        self._free = [(-1.0, -1, 0.0)]  # when that became so, by whose job, and when it will be free

    def take(self, now: float, gateway: int, steps: int) -> float:
        """Adds a job; when it will be done."""
        done = max(self._free[-1][2], now) + steps
        self._free = [*self._free[-40:], (now, gateway, done)]
        return done

    def queued_steps(self, now: float, gateway: int, age_steps: float) -> float:
        """What a gateway thinks it has to do."""
        known = (free for at, by, free in reversed(self._free) if by == gateway or at <= now - age_steps)
        return max(next(known, 0.0) - now, 0.0)


def _ours(table: Sequence[WorkerView], dice: Random) -> int:
    view = choose(table, (), dice)
    return 0 if view is None else int(view.identity.address)


def _of(count: int) -> Chooser:
    def least(table: Sequence[WorkerView], dice: Random) -> int:
        return int(min(dice.sample(table, count), key=lambda worker: worker.cost).identity.address)

    return least


def p99_steps(jobs: Sequence[Job], chooser: Chooser | None, gateways: int, age_steps: float) -> float:
    """The latency that one job in a hundred exceeds; no chooser: in turn."""
    dice, workers, latencies = Random(0), [_Worker() for _ in range(_WORKERS)], []  # noqa: S311 - not for secrets
    for number, job in enumerate(jobs):
        now, gateway = job.arrival_seconds, dice.randrange(gateways)
        if chooser is None:
            chosen = number % _WORKERS
        else:
            queued = [worker.queued_steps(now, gateway, age_steps) for worker in workers]
            views = [WorkerView(Identity(str(at), 0), Standing.READY, steps) for at, steps in enumerate(queued)]
            chosen = chooser(views, dice)
        latencies.append(workers[chosen].take(now, gateway, job.steps) - now)
    return sorted(latencies)[int(0.99 * len(latencies))]


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20_000)
    jobs_count = parser.parse_args().jobs
    print("p99 ÷ that of taking turns (simulated); columns: gateways, and how old reports are")
    cases = ((1, 0.0), (4, 0.2), (4, 1.0))
    print(f"{'the best of':14}" + "".join(f"{f'{gateways}, {age} steps':>16}" for gateways, age in cases))
    traces = [poisson_jobs(jobs_count, _LOAD * _WORKERS / MEAN_STEPS, seed) for seed in range(3)]
    turns = [p99_steps(jobs, None, 1, 0.0) for jobs in traces]
    for name, chooser in (("2", _of(2)), ("a half (ours)", _ours), ("all", _of(_WORKERS))):
        print(f"{name:14}", end="")
        for gateways, age in cases:
            ratios = [p99_steps(jobs, chooser, gateways, age) / base for jobs, base in zip(traces, turns, strict=True)]
            print(f"{sum(ratios) / len(ratios):16.2f}", end="")
        print()


if __name__ == "__main__":
    main()
