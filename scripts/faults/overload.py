"""Line 4: twice as much load as the decoder can carry."""

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from imagegen.v1.gateway_pb2 import Img2ImgRequest, StreamImg2ImgRequest
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from scripts.faults.deployment import Deployment, deployed
from scripts.faults.pictures import DEADLINE_SECONDS, Asker, Ending, Outcome, requests, tally

_MAX_QUEUE_SECONDS = 3.0
_CAPACITY_SECONDS = 15.0
_POLL_SECONDS = 0.05
_REST_SECONDS = 1.0
_MEMORY_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Overload:
    """What came of it.

    Attributes:
        goodput: pictures a second under overload ÷ those a second without.
        unasked_seconds: 95th percentile of the time until a refusal.
        retry_ratio: median of: time until there was room ÷ what RetryInfo had said.
        growth_bytes: memory of the gateway at the end of the overload less that after its first third.
        latency_ratio: of one request alone, afterwards ÷ before.
        internal_errors: requests that ended with INTERNAL.
        lost: requests that ended neither with a right picture nor with a typed refusal.
    """

    goodput: float
    unasked_seconds: float
    retry_ratio: float
    growth_bytes: int
    latency_ratio: float
    internal_errors: int
    lost: int


async def trial(seconds: float, logs: Path) -> Overload:
    """Measure the capacity, send twice as much for so long, and measure again."""
    async with (
        deployed(
            priors=1, decoders=1, gateways=1, logs=logs, gateway_flags=["--max-queue-seconds", str(_MAX_QUEUE_SECONDS)]
        ) as deployment,
        grpc.aio.insecure_channel(deployment.target) as channel,
    ):
        stub: Any = ImageServiceStub(channel)
        asked = requests(8, steps=6)
        asker = Asker(stub, asked)
        await asker.learn()
        before = await _alone(asker)
        spent = [deployment.decoders[0].cpu_seconds()]
        capacity, made = await _capacity(asker, _CAPACITY_SECONDS)
        spent.append(deployment.decoders[0].cpu_seconds())
        memory = asyncio.create_task(_memory(deployment, seconds))
        probing = asyncio.create_task(_probe(stub, asked[0], seconds))
        outcomes, lasted_seconds = await _send(asker, 2 * capacity, seconds)
        spent.append(deployment.decoders[0].cpu_seconds())
        ratios, (early_bytes, late_bytes) = await probing, await memory
        after = await _alone(asker)
    result = _result(outcomes, capacity * lasted_seconds, ratios, late_bytes - early_bytes, after / before)
    print(f"overload: capacity {capacity:.2f} pictures/s; {len(outcomes)} requests: {tally(outcomes)}")
    # Where other work shares the processors, time is not the same for both: the decoder's own processor time is.
    right = sum(outcome.ending is Ending.RIGHT for outcome in outcomes)
    cost = [(spent[1] - spent[0]) / made, (spent[2] - spent[1]) / right]
    print(f"overload: the decoder's processor time a picture: {cost[0]:.2f} s at capacity, {cost[1]:.2f} s overloaded")
    print(
        f"overload: goodput {result.goodput:.2f} of capacity; refusals within {result.unasked_seconds:.3f} s (p95); "
        f"time until there was room ÷ RetryInfo {result.retry_ratio:.2f} (median of {len(ratios)}); memory "
        f"{result.growth_bytes / 2**20:+.1f} MiB; latency afterwards ÷ before {result.latency_ratio:.2f}"
    )
    return result


def _result(
    outcomes: Sequence[Outcome], possible: float, ratios: Sequence[float], growth_bytes: int, latency_ratio: float
) -> Overload:
    refusals = sorted(outcome.seconds for outcome in outcomes if outcome.ending is Ending.REFUSED)
    expected = (Ending.RIGHT, Ending.REFUSED, Ending.INTERNAL)
    return Overload(
        goodput=sum(outcome.ending is Ending.RIGHT for outcome in outcomes) / possible,
        unasked_seconds=refusals[int(0.95 * len(refusals))] if refusals else 0.0,
        retry_ratio=statistics.median(ratios) if ratios else 0.0,
        growth_bytes=growth_bytes,
        latency_ratio=latency_ratio,
        internal_errors=sum(outcome.ending is Ending.INTERNAL for outcome in outcomes),
        lost=sum(outcome.ending not in expected for outcome in outcomes),
    )


async def _alone(asker: Asker) -> float:
    """Median seconds of a request that has the servers to itself."""
    return statistics.median([(await asker.ask(number)).seconds for number in range(8)])


async def _capacity(asker: Asker, seconds: float) -> tuple[float, int]:
    """Pictures a second when there is always one more to make, between the first one and the last; and how many."""
    end = time.monotonic() + seconds
    done: list[float] = []

    async def keep_asking(number: int) -> None:
        while time.monotonic() < end:
            done.append((await asker.ask(number)).ended_seconds)

    await asyncio.gather(*(keep_asking(number) for number in range(4)))
    return (len(done) - 1) / (max(done) - min(done)), len(done)


async def _send(asker: Asker, per_second: float, seconds: float) -> tuple[list[Outcome], float]:
    """Send requests at random times, whatever becomes of them; the outcomes, and when the last picture was there."""
    dice = random.Random(0)  # noqa: S311 - not for secrets
    calls: list[asyncio.Task[Outcome]] = []
    due = begin = time.monotonic()
    while due < begin + seconds:
        await asyncio.sleep(due - time.monotonic())
        calls.append(asyncio.create_task(asker.ask(len(calls))))
        due += dice.expovariate(per_second)
    outcomes = await asyncio.gather(*calls)
    return outcomes, max(outcome.ended_seconds for outcome in outcomes) - begin


async def _probe(stub: Any, request: Img2ImgRequest, seconds: float) -> list[float]:
    """How long it takes until there is room ÷ what a refusal had said, again and again."""
    # The gateway lets it in as any other; the decoder finds no picture in it, and does nothing for it.
    probe = Img2ImgRequest()
    probe.MergeFrom(request)
    probe.image = b"no picture"
    ratios: list[float] = []
    refused_at = told = None
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        retry_after = await _refusal(stub, probe)
        if retry_after is not None and told is None:
            refused_at, told = now, retry_after
        elif retry_after is None and told is not None and refused_at is not None:
            ratios.append((now - refused_at) / told)
            told = None
        await asyncio.sleep(_POLL_SECONDS if told is not None else _REST_SECONDS)
    return ratios


async def _refusal(stub: Any, request: Img2ImgRequest) -> float | None:
    """When a request that comes now should come back; None when it is let in. Then it is withdrawn at once."""
    call = stub.StreamImg2Img(StreamImg2ImgRequest(request=request), timeout=DEADLINE_SECONDS)
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        return Outcome.of(error, time.monotonic()).retry_after_seconds
    finally:
        call.cancel()
    return None


async def _memory(deployment: Deployment, seconds: float) -> tuple[int, int]:
    """Memory of the gateway after a third of the time, and most of it after two thirds."""
    await asyncio.sleep(seconds / 3)
    early = deployment.gateways[0].memory_bytes()
    await asyncio.sleep(seconds / 3)
    late, end = 0, time.monotonic() + seconds / 3
    while time.monotonic() < end:
        late = max(late, deployment.gateways[0].memory_bytes())
        await asyncio.sleep(_MEMORY_EVERY_SECONDS)
    return early, late
