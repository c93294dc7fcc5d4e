# ruff: noqa: N802, ARG002 - the names and signatures are gRPC's
"""Decoders without a model: each does whole jobs in order, and takes for each as long as a device would.

All else is as in a decoder: the same server, messages, events and reports. A job's end is computed rather than slept
to from its beginning, so that a late wake-up of this process does not make the device slower.
"""

import argparse
import asyncio
import functools
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import grpc

from imagegen.v1.common_pb2 import Bucket, ModelInfo, Queued, Receipt, Tier, WorkerStatus, WorkerUse
from imagegen.v1.decoder_pb2 import (
    DecoderInfo,
    DecoderServiceGetModelResponse,
    DecoderServiceStreamImg2ImgRequest,
    DecoderServiceStreamImg2ImgResponse,
    DecoderServiceWatchStatusResponse,
    EncodedImage,
    Img2ImgLimits,
    Img2ImgParams,
    Img2ImgResult,
    Progress,
)
from imagegen.v1.decoder_pb2_grpc import DecoderServiceServicer, add_DecoderServiceServicer_to_server
from serving.config import ServerConfig
from serving.requests import RunningRequests
from serving.server import Application, Server

SIDE_PX = 64

_WATCH_SECONDS = 0.25


class SimulatedDecoder(DecoderServiceServicer):
    """One decoder with a device that needs a fixed time a step."""

    def __init__(self, name: str, step_seconds: float) -> None:
        self._name = name
        self._step_seconds = step_seconds
        self._free_at = 0.0
        self._steps_left = 0
        self._steps_done = 0
        self._rows = 0
        self._changed = asyncio.Event()

    async def StreamImg2Img(
        self, request: DecoderServiceStreamImg2ImgRequest, context: Any
    ) -> AsyncGenerator[DecoderServiceStreamImg2ImgResponse, None]:
        """Does a job after all that came before it."""
        params = request.request.params
        steps = int(params.num_inference_steps * params.strength)
        begin = max(time.monotonic(), self._free_at)
        self._free_at = begin + steps * self._step_seconds
        self._count(steps, 1)
        self._notify()
        left = steps
        try:
            yield DecoderServiceStreamImg2ImgResponse(queued=Queued(request_id=request.request.request_id))
            for step in range(1, steps + 1):
                await asyncio.sleep(begin + step * self._step_seconds - time.monotonic())
                left -= 1
                self._count(-1, 0)
                self._steps_done += 1
                if step == 1:
                    self._notify()
                progress = Progress(step=step, total_steps=steps)
                yield DecoderServiceStreamImg2ImgResponse(progress=progress)
            yield DecoderServiceStreamImg2ImgResponse(result=self._result(request, steps))
        finally:
            self._count(-left, -1)
            self._notify()

    async def Img2Img(self, request: Any, context: Any) -> Any:
        """Not simulated: the gateway streams."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "simulated decoders only stream")

    async def Cancel(self, request: Any, context: Any) -> Any:
        """Not simulated: nobody cancels."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "simulated decoders cancel nothing")

    async def WatchStatus(self, request: Any, context: Any) -> AsyncGenerator[DecoderServiceWatchStatusResponse, None]:
        """Tells how busy it is when jobs come, begin or go, and now and then, as decoders do."""
        while True:
            changed = self._changed
            status = WorkerStatus(
                worker=self._name,
                queued_work_seconds=self._steps_left * self._step_seconds,
                running_rows=min(self._rows, 1),
                queued_rows=max(self._rows - 1, 0),
                actions_done=self._steps_done,
                acting=self._rows > 0,
            )
            yield DecoderServiceWatchStatusResponse(status=status)
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _WATCH_SECONDS if self._rows else None)

    async def GetModel(self, request: Any, context: Any) -> DecoderServiceGetModelResponse:
        """Tells how fast it is."""
        defaults = Img2ImgParams(
            width=SIDE_PX, height=SIDE_PX, num_inference_steps=100, strength=0.3, guidance_scale=7, num_images=1
        )
        bucket = Bucket(rows=1, width=SIDE_PX, height=SIDE_PX, step_seconds=self._step_seconds)
        info = DecoderInfo(
            model=ModelInfo(id="simulated", digest="simulated"),
            defaults=defaults,
            limits=Img2ImgLimits(
                granularity_px=SIDE_PX, max_num_inference_steps=1000, max_num_images=1, max_pixels=SIDE_PX**2
            ),
            buckets=[bucket],
        )
        return DecoderServiceGetModelResponse(decoder=info)

    def _count(self, steps: int, rows: int) -> None:
        self._steps_left += steps
        self._rows += rows

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _result(self, request: DecoderServiceStreamImg2ImgRequest, steps: int) -> Img2ImgResult:
        receipt = Receipt(
            denoising_seconds=steps * self._step_seconds,
            denoising_steps=steps,
            workers=[WorkerUse(tier=Tier.TIER_DECODER, worker=self._name)],
        )
        image = EncodedImage(data=request.request.image)
        return Img2ImgResult(request_id=request.request.request_id, images=[image], receipt=receipt)


def _application(decoder: SimulatedDecoder) -> Application:
    async def nothing() -> None:
        pass

    return Application(
        tier=Tier.TIER_DECODER,
        service="imagegen.v1.DecoderService",
        running=RunningRequests(),
        add_to_server=functools.partial(add_DecoderServiceServicer_to_server, decoder),
        warm_up=nothing,
        close=nothing,
    )


async def _serve(count: int, step_seconds: float) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    applications = [_application(SimulatedDecoder(f"simulated-{index}", step_seconds)) for index in range(count)]
    servers = [Server(application, ServerConfig(drain_seconds=0)) for application in applications]
    addresses = [await server.start() for server in servers]
    await asyncio.gather(*(server.warm_up() for server in servers))
    print(f"decoders ready on {','.join(addresses)}", flush=True)
    await stopping.wait()
    await asyncio.gather(*(server.stop() for server in servers))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1, help="decoders in this process, each on a port of its own")
    parser.add_argument("--step-seconds", type=float, default=0.04)
    parser.add_argument("--port", type=int, default=0, help="not used: the system chooses")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.count, arguments.step_seconds))


if __name__ == "__main__":
    main()
