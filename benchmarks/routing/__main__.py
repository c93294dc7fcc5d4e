"""What routing by queued work is worth, over real gRPC: the real gateway, and simulated decoders in other processes.

Mixed jobs come as a Poisson process at 80 % of what the decoders can do; each decoder does whole jobs in order. The
same jobs go through one gateway that takes decoders in turn, through one gateway, and through four that know nothing of
each other. Then decoders are kept busy, one and all, to see whether the gateway scales.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from benchmarks.record import record
from benchmarks.routing.load import MEAN_STEPS, latencies_of, poisson_jobs, saturated_steps_per_second
from benchmarks.server_process import ServerProcess, running

_LOAD = 0.8
_DECODERS_A_PROCESS = 8
_NO_PRIOR = "127.0.0.1:1"


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    result = asyncio.run(_measure(arguments))
    print(record(vars(arguments), result))
    print("RESULT bench-routing " + " ".join(f"{name}={value:.3f}" for name, value in result.items()))


async def _measure(arguments: argparse.Namespace) -> dict[str, float]:
    count, step_seconds = arguments.decoders, arguments.step_seconds
    jobs = poisson_jobs(arguments.jobs, _LOAD * count / (MEAN_STEPS * step_seconds), arguments.seed)
    p99 = {}
    print(f"{'gateways':34}{'mean':>8}{'p50':>8}{'p95':>8}{'p99':>8}{'CPU a request':>16}   (s; {len(jobs)} jobs)")
    for name, module, gateways in (
        ("one, in turn", "benchmarks.routing.round_robin", 1),
        ("one", "gateway", 1),
        ("four that do not talk", "gateway", 4),
    ):
        async with _decoders(count, step_seconds) as addresses, _gateways(module, gateways, addresses) as servers:
            before = sum(server.cpu_seconds() for server in servers)
            latencies = await latencies_of(jobs, [server.address for server in servers], arguments.seed)
            cpu_seconds = (sum(server.cpu_seconds() for server in servers) - before) / len(jobs)
        p99[name] = _quantile(latencies, 0.99)
        figures = [sum(latencies) / len(latencies), *(_quantile(latencies, part) for part in (0.5, 0.95, 0.99))]
        print(f"{name:34}" + "".join(f"{figure:8.2f}" for figure in figures) + f"{1000 * cpu_seconds:13.1f} ms")
    one, all_of_them = [await _throughput(decoders, arguments) for decoders in (1, count)]
    print(f"steps a second: {one:.1f} with one decoder, {all_of_them:.1f} with {count}")
    base = p99["one, in turn"]
    return {
        "p99_vs_round_robin": p99["one"] / base,
        "p99_vs_round_robin_four_gateways": p99["four that do not talk"] / base,
        "scaling": all_of_them / (count * one),
    }


async def _throughput(decoders: int, arguments: argparse.Namespace) -> float:
    """Steps a second of so many decoders that are never idle."""
    async with (
        _decoders(decoders, arguments.step_seconds) as addresses,
        _gateways("gateway", 1, addresses) as (gateway,),
    ):
        return await saturated_steps_per_second(
            gateway.address, 4 * decoders, arguments.saturated_seconds, arguments.seed
        )


@asynccontextmanager
async def _decoders(count: int, step_seconds: float) -> AsyncIterator[list[str]]:
    """Addresses of simulated decoders, several a process."""
    module, processes = "benchmarks.routing.simulated_decoder", []
    for first in range(0, count, _DECODERS_A_PROCESS):
        each = min(_DECODERS_A_PROCESS, count - first)
        processes.append(ServerProcess([module, "--count", str(each), "--step-seconds", str(step_seconds)]))
    async with running(*processes):
        yield [address for process in processes for address in process.address.split(",")]


@asynccontextmanager
async def _gateways(module: str, count: int, decoders: Sequence[str]) -> AsyncIterator[list[ServerProcess]]:
    flags = ["--log-level", "error", "--prior", _NO_PRIOR, "--decoder", ",".join(decoders), "--drain-seconds", "1"]
    servers = [ServerProcess([module, *flags, "--max-queue-seconds", "100000"]) for _ in range(count)]
    async with running(*servers):
        yield servers


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoders", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=2000, help="jobs of each of the three runs")
    parser.add_argument("--step-seconds", type=float, default=0.04, help="time a simulated step takes")
    parser.add_argument("--saturated-seconds", type=float, default=40.0, help="length of the two runs without pauses")
    parser.add_argument("--seed", type=int, default=0, help="of the jobs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
