"""Line 1: requests while workers are killed and started again."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

import grpc

from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from scripts.faults.deployment import Deployment, Worker, deployed
from scripts.faults.pictures import Asker, Ending, Outcome, requests, tally

_EVERY_SECONDS = 8.0

# How often the last worker of a tier may be killed too, so that there is none.
_LAST_ONE_TOO = 0.15


@dataclass(frozen=True)
class Kills:
    """What came of it.

    Attributes:
        lost: requests without a picture though a worker was there, or without a typed error.
        wrong: requests with a wrong picture, or two.
        internal_errors: requests that ended with INTERNAL.
    """

    lost: int
    wrong: int
    internal_errors: int


async def trial(count: int, seed: int, seconds: float, logs: Path) -> Kills:
    """Send so many requests, or as many as the time allows, and kill workers; the seed is of who is killed when."""
    async with deployed(
        priors=2,
        decoders=3,
        gateways=1,
        logs=logs,
        # What a restart compiles it compiles for the first request: processors are short where all of this runs.
        worker_flags=["--no-warm-up"],
        # No embedding is kept, so that the priors have to be there as well; a checkpoint after every step.
        gateway_flags=["--cache-bytes", "0", "--checkpoint-every-steps", "1"],
    ) as deployment:
        async with grpc.aio.insecure_channel(deployment.target) as channel:
            asker = Asker(ImageServiceStub(channel), requests(12, steps=3))
            await asker.learn()
            killer = asyncio.create_task(_kill(deployment, random.Random(seed)))  # noqa: S311 - not for secrets
            outcomes = await asker.ask_many(count, at_once=6, seconds=seconds)
            killer.cancel()
            (kills,) = await asyncio.gather(killer, return_exceptions=True)
            if not isinstance(kills, asyncio.CancelledError):
                raise RuntimeError("no worker was killed any more") from kills
        return _judged(outcomes, deployment)


async def _kill(deployment: Deployment, dice: random.Random) -> None:
    """Keep killing workers at random, and start each again at once; ends when cancelled."""
    async with asyncio.TaskGroup() as restarts:
        while True:
            await asyncio.sleep(_EVERY_SECONDS * dice.uniform(0.5, 1.5))
            worker = _victim(deployment, dice)
            if worker is not None:
                worker.leave()
                worker.send(SIGKILL)
                restarts.create_task(_again(worker))


async def _again(worker: Worker) -> None:
    await worker.process.wait()
    await worker.start()


def _victim(deployment: Deployment, dice: random.Random) -> Worker | None:
    tier = dice.choice([deployment.priors, deployment.decoders])
    there = [worker for worker in tier if worker.is_there]
    if len(there) > 1 or (there and dice.random() < _LAST_ONE_TOO):
        return dice.choice(there)
    return None


def _judged(outcomes: Sequence[Outcome], deployment: Deployment) -> Kills:
    unavailable = [outcome for outcome in outcomes if outcome.ending is Ending.UNAVAILABLE]
    unjustly = [outcome for outcome in unavailable if deployment.had_worker(outcome.tier, outcome.ended_seconds)]
    lost = [outcome for outcome in outcomes if outcome.ending in (Ending.LOST, Ending.REFUSED)] + unjustly
    kills = sum(worker.kills for worker in deployment.workers)
    moves = sum(outcome.retries for outcome in outcomes)
    slowest = max(outcome.seconds for outcome in outcomes)
    print(f"kills: {len(outcomes)} requests, {kills} workers killed: {tally(outcomes)}")
    print(
        f"kills: work moved {moves} times, slowest request {slowest:.1f} s; UNAVAILABLE without need: {len(unjustly)}"
    )
    for outcome in lost[:5]:
        print(f"kills: lost after {outcome.seconds:.1f} s: {outcome.detail}")
    return Kills(
        lost=len(lost),
        wrong=sum(outcome.ending is Ending.WRONG for outcome in outcomes),
        internal_errors=sum(outcome.ending is Ending.INTERNAL for outcome in outcomes),
    )
