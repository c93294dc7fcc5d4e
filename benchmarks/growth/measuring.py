"""Cases, measured by turns, so that a slow minute of the machine hits all alike."""

import asyncio
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from benchmarks.growth.cases import BASE, Case, Decoders
from imagegen.v1.common_pb2 import TIER_DECODER, Receipt
from kandinsky_client import AsyncClient

_PROMPT = "a red circle on a blue background"
_GUIDANCE_SCALE = 4.0
# Of all requests: one embedding, which each gateway asks the prior for once.
_PRIOR_SEED = 0
# MindSpore tries out numbers of threads in the first thirty runs of a graph.
_WARM_UP_STEPS = 30


@dataclass(frozen=True)
class Figures:
    """What a case took, medians over its rounds.

    Attributes:
        seconds: of a request, from its sending to its pictures.
        pictures_per_second: of all its requests, until the last.
    """

    seconds: float
    pictures_per_second: float


@dataclass(frozen=True)
class _Round:
    """A case, once.

    Attributes:
        latencies_seconds: of each request.
        seconds: until the last.
        receipts: what each request cost.
    """

    latencies_seconds: Sequence[float]
    seconds: float
    receipts: Sequence[Receipt]


async def measure(
    cases: Sequence[Case], clients: Mapping[Decoders, AsyncClient], image: bytes, rounds: int
) -> dict[Case, Figures]:
    """All cases.

    Raises:
        RuntimeError: a request has cost something else than its case asks for.
    """
    seeds = count()
    for decoders, client in clients.items():
        await _run(replace(BASE, decoders=decoders), client, image, seeds)  # fills the gateways' caches of embeddings
    for case in dict.fromkeys(replace(case, steps=_WARM_UP_STEPS) for case in cases):
        await _run(case, clients[case.decoders], image, seeds)
    found: dict[Case, list[_Round]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case, measured in found.items():
            measured.append(await _run(case, clients[case.decoders], image, seeds))
    for case, measured in found.items():
        _check(case, measured)
    return {case: _figures(case, measured) for case, measured in found.items()}


async def _run(case: Case, client: AsyncClient, image: bytes, seeds: Iterator[int]) -> _Round:
    """A case, once; no picture has the noise of another."""

    async def request() -> tuple[float, Receipt]:
        own_seeds = [next(seeds) for _ in range(case.images)]
        sent = time.perf_counter()
        result = await client.img2img(
            image,
            _PROMPT,
            width=case.side_px,
            height=case.side_px,
            num_inference_steps=case.steps,
            strength=1.0,  # the whole schedule is run
            guidance_scale=_GUIDANCE_SCALE,
            seed=own_seeds[0],
            num_images=case.images,
            prior_seed=_PRIOR_SEED,
        )
        return time.perf_counter() - sent, result.receipt

    started = time.perf_counter()
    answers = await asyncio.gather(*(request() for _ in range(case.at_once)))
    seconds = time.perf_counter() - started
    return _Round([latency for latency, _ in answers], seconds, [receipt for _, receipt in answers])


def _check(case: Case, rounds: Sequence[_Round]) -> None:
    """Whether what was measured is what the case says."""
    receipts = [receipt for measured in rounds for receipt in measured.receipts]
    workers = {use.worker for receipt in receipts for use in receipt.workers if use.tier == TIER_DECODER}
    if len(workers) != case.decoders.workers:
        raise RuntimeError(f"{case}: the work was done by {workers}")
    for receipt in receipts:
        if receipt.denoising_steps != case.images * case.steps or not receipt.cache_hit or receipt.retries:
            raise RuntimeError(f"{case}: a request has cost {receipt}")


def _figures(case: Case, rounds: Sequence[_Round]) -> Figures:
    return Figures(
        statistics.median(latency for measured in rounds for latency in measured.latencies_seconds),
        statistics.median(case.pictures / measured.seconds for measured in rounds),
    )
