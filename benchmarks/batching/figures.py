"""How a policy did on a trace."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """How a policy did on a trace.

    Attributes:
        throughput: jobs per second, from the first arrival to the last job's end.
        mean_seconds: of the latencies, as the next three.
        p50_seconds: half are below.
        p95_seconds: 95 % are below.
        p99_seconds: 99 % are below.
        slowdown_p95: 95 % of latency ÷ time alone are below.
    """

    throughput: float
    mean_seconds: float
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float
    slowdown_p95: float


def figures(arrival_seconds: Sequence[float], done_seconds: Sequence[float], alone_seconds: Sequence[float]) -> Figures:
    """Of jobs by when they came, when they were done, and what each takes alone."""
    latencies = [done - arrival for done, arrival in zip(done_seconds, arrival_seconds, strict=True)]
    slowdowns = [latency / alone for latency, alone in zip(latencies, alone_seconds, strict=True)]
    return Figures(
        throughput=len(latencies) / (max(done_seconds) - min(arrival_seconds)),
        mean_seconds=statistics.mean(latencies),
        p50_seconds=_quantile(latencies, 0.5),
        p95_seconds=_quantile(latencies, 0.95),
        p99_seconds=_quantile(latencies, 0.99),
        slowdown_p95=_quantile(slowdowns, 0.95),
    )


def print_table(title: str, rows: Mapping[str, Figures], digits: int = 0) -> None:
    """A line for each policy."""
    print(title)
    print(f"{'policy':24}{'jobs/s':>8}{'mean':>8}{'p50':>8}{'p95':>8}{'p99':>8}{'slowdown p95':>14}")
    for name, row in rows.items():
        latencies = (row.mean_seconds, row.p50_seconds, row.p95_seconds, row.p99_seconds)
        print(f"{name:24}{row.throughput:8.4f}" + "".join(f"{value:8.{digits}f}" for value in latencies), end="")
        print(f"{row.slowdown_p95:14.1f}")


def _quantile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]
