"""Scheduling on the real networks: one trace, all policies in one run.

Mixed requests come to the demo's decoder as a Poisson process, at 80 % of what it can do one at a time. Then eight
requests at once tell how much of the time the device is inside compiled graphs.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.batching.figures import Figures, figures, print_table
from benchmarks.batching.trace import Arrival, poisson_trace
from benchmarks.record import record
from serving.batching.work import Shape

if TYPE_CHECKING:
    from benchmarks.alone import Alone
    from benchmarks.batching.busy import Busy
    from benchmarks.batching.real import Decoder
    from decoder_server.engine import DecoderEngine

_LOAD = 0.8
_SIDES_PX = (64, 128)
_SIZES = (1, 2, 4)
_WINDOW_STEPS = 5
_AT_ONCE = 8
_CHECKPOINT = Path("demo/checkpoint/decoder")


@dataclass(frozen=True)
class _Bench:
    """What all policies share: a decoder, what requests take alone, an engine, and what was inside graphs."""

    decoder: "Decoder"
    alone: "Alone"
    engine: "DecoderEngine"
    busy: "Busy"


def main() -> None:
    """Runs it and prints."""
    # Read at MindSpore's first operator.
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batching", description=__doc__)
    parser.add_argument("--model", type=Path, default=_CHECKPOINT, help="a decoder's checkpoint")
    parser.add_argument("--jobs", type=int, default=200, help="requests of the trace")
    parser.add_argument("--seed", type=int, default=0, help="of the trace")
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.model, arguments.jobs, arguments.seed))


async def _run(model: Path, jobs: int, seed: int) -> None:
    bench = await _prepared(model)
    curve = bench.engine.curve
    arrivals = poisson_trace(jobs, [Shape(side, side) for side in _SIDES_PX], bench.alone.of, _LOAD, seed)
    results, busy = await _replay(bench, arrivals)
    print_table(f"the decoder of {model}, {_LOAD:.0%} load, {jobs} requests, seconds (measured)", results, digits=2)
    for name, share in busy.items():
        print(f"{name}: {share:.0%} of the time inside compiled graphs")
    device_busy, lag_seconds = await _eight_at_once(bench)
    print(f"{_AT_ONCE} at once: {device_busy:.1%} of the time inside compiled graphs")
    print(f"event loop: at most {lag_seconds * 1e3:.1f} ms late")
    measured: list[dict[str, Any]] = [
        {"stage": stage.name, "shape": shape, "seconds": dict(points)}
        for (stage, shape), points in curve.seconds.items()
    ]
    config = {
        "model": str(model),
        "sides_px": _SIDES_PX,
        "batch_sizes": _SIZES,
        "load": _LOAD,
        "jobs": jobs,
        "seed": seed,
    }
    print(record(config, {"curve": measured, "policies": {name: asdict(row) for name, row in results.items()}}))
    print(_result(results, device_busy))


async def _prepared(path: Path) -> _Bench:
    from benchmarks.batching.busy import Busy
    from benchmarks.batching.real import Decoder, measure_alone
    from decoder_server.actions import DecoderActions
    from decoder_server.sizes import limits_of
    from decoder_server.warm_up import warm_up
    from kandinsky.decoder_model import load_decoder
    from kandinsky.loading import Runtime
    from kandinsky.ops import use_device, with_fast_paths
    from serving.device_thread import DeviceThread
    from serving.metrics import WorkerMetrics
    from worker.engine import Engine

    device, busy = DeviceThread(), Busy()
    model = busy.timed(await device.run(lambda: load_decoder(path, Runtime(with_fast_paths(use_device("CPU"))))))
    shapes = [Shape(side, side) for side in _SIDES_PX]
    actions = DecoderActions(model, text_cache_bytes=0)
    engine: DecoderEngine = Engine("bench", actions, device, WorkerMetrics(), limits_of(shapes, _SIZES), 1e9)
    await warm_up(engine, actions, model, shapes, _SIZES)
    engine.ready()
    decoder = Decoder(model, actions, device, _SIZES)
    alone = await measure_alone(decoder, shapes)
    for shape, (rest_seconds, step_seconds) in alone.seconds.items():
        print(f"alone, {shape.width_px} px: {rest_seconds:.3f} s and {step_seconds:.4f} s a step", flush=True)
    return _Bench(decoder, alone, engine, busy)


async def _replay(bench: _Bench, arrivals: list[Arrival]) -> tuple[dict[str, Figures], dict[str, float]]:
    """Each policy's figures, and its share of the time inside graphs."""
    from benchmarks.batching.real import Waits, one_at_a_time, step_level, whole_requests

    waits = Waits()
    largest = Shape(_SIDES_PX[-1], _SIDES_PX[-1])
    _, step_seconds = bench.alone.seconds[largest]
    window_seconds = _WINDOW_STEPS * step_seconds
    policies: dict[str, Callable[[], Awaitable[list[float]]]] = {
        "one at a time": lambda: one_at_a_time(bench.decoder, arrivals),
        "whole-request batches": lambda: whole_requests(bench.decoder, arrivals, window_seconds),
        "engine": lambda: step_level(bench.decoder, bench.engine, arrivals, waits),
    }
    alone = [bench.alone.of(arrival) for arrival in arrivals]
    results, busy = {}, {}
    for name, serve in policies.items():
        working = asyncio.create_task(bench.engine.run())
        bench.busy.seconds, started = 0.0, time.monotonic()
        done = await serve()
        busy[name] = bench.busy.seconds / (time.monotonic() - started)
        results[name] = figures([arrival.seconds for arrival in arrivals], done, alone)
        working.cancel()
    errors = [abs(e - a) for e, a in zip(waits.estimated_seconds, waits.actual_seconds, strict=True)]
    print(
        f"waiting: {statistics.mean(waits.estimated_seconds):.2f} s estimated, "
        f"{statistics.mean(waits.actual_seconds):.2f} s in fact, on average; off by {statistics.median(errors):.2f} s "
        "in the median"
    )
    return results, busy


async def _eight_at_once(bench: _Bench) -> tuple[float, float]:
    """The share of the time inside graphs, and how late the event loop was, with eight requests all the time."""
    from benchmarks.batching.busy import lagging
    from benchmarks.batching.real import Waits, step_level

    side = _SIDES_PX[-1]
    crowd = [Arrival(0.0, Shape(side, side), 50, 1.0, number) for number in range(_AT_ONCE)]
    working = asyncio.create_task(bench.engine.run())
    async with lagging() as lag:
        bench.busy.seconds, started = 0.0, time.monotonic()
        await step_level(bench.decoder, bench.engine, crowd, Waits())
        share = bench.busy.seconds / (time.monotonic() - started)
    working.cancel()
    return share, lag.seconds


def _result(results: dict[str, Figures], device_busy: float) -> str:
    ours, single, window = (results[name] for name in ("engine", "one at a time", "whole-request batches"))
    return (
        f"RESULT bench-batching throughput_vs_single={ours.throughput / single.throughput:.3f} "
        f"mean_vs_single={ours.mean_seconds / single.mean_seconds:.3f} "
        f"slowdown_p95_vs_single={ours.slowdown_p95 / single.slowdown_p95:.3f} "
        f"p99_vs_single={ours.p99_seconds / single.p99_seconds:.3f} "
        f"slowdown_p95_vs_window={ours.slowdown_p95 / window.slowdown_p95:.3f} device_busy={device_busy:.3f}"
    )


if __name__ == "__main__":
    main()
