"""Line 3: a worker that stands still, and wakes up again."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import grpc

from imagegen.v1.gateway_pb2 import GetServerInfoRequest, WorkerState
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from scripts.faults.deployment import Worker, deployed
from scripts.faults.pictures import Asker, Ending, requests, tally

PROGRESS_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Hangs:
    """What came of it: requests without a right picture, and how long it took until the work had moved."""

    lost: int
    moved_after_seconds: float


async def trial(logs: Path) -> Hangs:
    """Stop a decoder that has work; let it go on when its work has moved; see who answers."""
    async with (
        deployed(
            priors=1,
            decoders=2,
            gateways=1,
            logs=logs,
            gateway_flags=[
                "--checkpoint-every-steps",
                "1",
                "--progress-timeout-seconds",
                str(PROGRESS_TIMEOUT_SECONDS),
            ],
        ) as deployment,
        grpc.aio.insecure_channel(deployment.target) as channel,
    ):
        stub: Any = ImageServiceStub(channel)
        asker = Asker(stub, requests(8, steps=6))
        await asker.learn()
        calls = asyncio.gather(*(asker.ask(number) for number in range(8)))
        victim = deployment.decoders[0]
        await _until_state(stub, victim, busy=True)
        victim.send(SIGSTOP)
        stopped = time.monotonic()
        await _until_state(stub, victim, state=WorkerState.WORKER_STATE_UNREACHABLE)
        moved_after_seconds = time.monotonic() - stopped
        victim.send(SIGCONT)
        outcomes = await calls
        await _until_state(stub, victim, state=WorkerState.WORKER_STATE_READY)
        afterwards = await asker.ask_many(8, at_once=4)
    moves = sum(outcome.retries for outcome in outcomes)
    print(
        f"hang: {moves} requests moved after {moved_after_seconds:.1f} s; {tally(outcomes)}; then {tally(afterwards)}"
    )
    lost = sum(outcome.ending is not Ending.RIGHT for outcome in (*outcomes, *afterwards))
    return Hangs(lost + (moves == 0), moved_after_seconds)


async def _until_state(
    stub: Any, worker: Worker, *, state: WorkerState.ValueType | None = None, busy: bool = False
) -> None:
    """Wait until the gateway knows that a worker is in a state, or works."""
    async with asyncio.timeout(60):
        while True:
            info = await stub.GetServerInfo(GetServerInfoRequest())
            (seen,) = (each for each in info.workers if each.address == worker.address)
            if (state is not None and seen.state == state) or (busy and seen.status.running_rows):
                return
            await asyncio.sleep(0.05)
