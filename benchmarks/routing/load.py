"""Jobs, and sending them: at given times whatever becomes of the others, or as many at once as asked for."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from imagegen.v1.common_pb2 import DataType, ImageEmbeddings, Tensor
from imagegen.v1.decoder_pb2 import Img2ImgParams
from imagegen.v1.gateway_pb2 import Img2ImgRequest, StreamImg2ImgRequest
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub

_SCHEDULE_STEPS = (25, 50, 100)
_STRENGTHS = (0.1, 1.0)
MEAN_STEPS = sum(_SCHEDULE_STEPS) / len(_SCHEDULE_STEPS) * sum(_STRENGTHS) / 2

_VECTOR = Tensor(dtype=DataType.DATA_TYPE_FLOAT32, shape=[1, 1], data=bytes(4))
_EMBEDDINGS = ImageEmbeddings(image_embeds=_VECTOR, negative_image_embeds=_VECTOR)


@dataclass(frozen=True)
class Job:
    """One request: when it comes, and what it asks for."""

    arrival_seconds: float
    num_inference_steps: int
    strength: float

    @property
    def steps(self) -> int:
        """Steps that are run."""
        return int(self.num_inference_steps * self.strength)

    def request(self) -> Img2ImgRequest:
        """As it is sent; it brings its embeddings, for there is no prior."""
        params = Img2ImgParams(num_inference_steps=self.num_inference_steps, strength=self.strength, seed=0)
        return Img2ImgRequest(image=b"picture", embeddings=_EMBEDDINGS, params=params)


def poisson_jobs(count: int, jobs_per_second: float, seed: int) -> list[Job]:
    """Jobs that come independently of each other."""
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    jobs, now = [], 0.0
    for _ in range(count):
        now += dice.expovariate(jobs_per_second)
        jobs.append(Job(now, dice.choice(_SCHEDULE_STEPS), dice.uniform(*_STRENGTHS)))
    return jobs


@asynccontextmanager
async def stubs(addresses: Sequence[str]) -> AsyncIterator[list[Any]]:
    """Stubs of gateways."""
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    yield [ImageServiceStub(channel) for channel in channels]
    for channel in channels:
        await channel.close()


async def latencies_of(jobs: Sequence[Job], gateways: Sequence[str], seed: int) -> list[float]:
    """Send each job at its time to one of the gateways; the seconds from that time to each answer, sorted."""
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    async with stubs(gateways) as clients:
        start = time.monotonic()

        async def send(job: Job, client: Any) -> float:
            await asyncio.sleep(start + job.arrival_seconds - time.monotonic())
            await client.Img2Img(job.request())
            return time.monotonic() - start - job.arrival_seconds

        return sorted(await asyncio.gather(*(send(job, dice.choice(clients)) for job in jobs)))


async def saturated_steps_per_second(gateway: str, at_once: int, seconds: float, seed: int) -> float:
    """Keep so many jobs at the gateway; the steps that were done a second, the first third of the time not counted."""
    steps = 0
    jobs = iter(poisson_jobs(100_000, 1.0, seed))
    start = time.monotonic()
    warm, end = start + seconds / 3, start + seconds

    async def keep_sending(client: Any) -> None:
        nonlocal steps
        while time.monotonic() < end:
            async for event in client.StreamImg2Img(StreamImg2ImgRequest(request=next(jobs).request())):
                steps += event.HasField("progress") and warm <= time.monotonic() < end

    async with stubs([gateway]) as (client,):
        await asyncio.gather(*(keep_sending(client) for _ in range(at_once)))
    return steps / (end - warm)
