"""The table, and the line that tells the result."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.batching.figures import Figures


@dataclass(frozen=True)
class Row:
    """One system's results.

    Attributes:
        mixed: on the mixed trace.
        crowd: on the same kind of requests, all at once.
        errors: requests of both that got no picture.
        memory_peak_bytes: the most memory its processes had together.
        start_seconds: until it was warm.
        levels_apart: how far its pictures are from ours at most, of 255.
    """

    mixed: Figures
    crowd: Figures
    errors: int
    memory_peak_bytes: int
    start_seconds: float
    levels_apart: int


def print_table(rows: Mapping[str, Row]) -> None:
    """A line for each system."""
    print(
        f"{'system':20}{'pictures/s':>12}{'mean s':>9}{'p50':>8}{'p95':>8}{'p99':>8}{'slowdown p95':>14}{'errors':>8}"
        f"{'memory MiB':>12}{'start s':>9}{'levels apart':>14}"
    )
    for name, row in rows.items():
        mixed = row.mixed
        latencies = (mixed.p50_seconds, mixed.p95_seconds, mixed.p99_seconds)
        print(f"{name:20}{row.crowd.throughput:12.3f}{mixed.mean_seconds:9.2f}", end="")
        print("".join(f"{seconds:8.2f}" for seconds in latencies) + f"{mixed.slowdown_p95:14.1f}{row.errors:8}", end="")
        print(f"{row.memory_peak_bytes / 2**20:12.0f}{row.start_seconds:9.0f}{row.levels_apart:14}")


def result_lines(rows: Mapping[str, Row], ours: str) -> list[str]:
    """Which peers are best, and the comparison with them. A peer that lost requests is not best at anything.

    Raises:
        RuntimeError: there is no such peer.
    """
    peers = {name: row for name, row in rows.items() if name != ours and not row.errors}
    if not peers:
        raise RuntimeError("no peer has answered all requests")
    fastest = max(peers, key=lambda name: peers[name].crowd.throughput)
    steadiest = min(peers, key=lambda name: peers[name].mixed.p95_seconds)
    throughput = rows[ours].crowd.throughput / peers[fastest].crowd.throughput
    p95 = rows[ours].mixed.p95_seconds / peers[steadiest].mixed.p95_seconds
    return [
        f"best peers: {fastest} (throughput), {steadiest} (p95); of {', '.join(peers)}",
        f"RESULT bench-serving throughput_vs_best_peer={throughput:.3f} p95_vs_best_peer={p95:.3f}",
    ]
