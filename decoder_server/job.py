"""One request on the device, from its first to its last use of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from decoder_server.parsing import IMAGE_FORMATS
from decoder_server.runner import Runner
from imagegen.v1.common_pb2 import Phase, Receipt, Tier, WorkerUse
from imagegen.v1.decoder_pb2 import EncodedImage, Img2ImgResult, Progress
from kandinsky.images import OutputFormat, write_image
from kandinsky.img2img import Img2ImgRequest
from kandinsky.rows import Row
from serving.requests import RunningRequest
from worker.clock import Clock
from worker.service import truncations
from worker.turns import Ticket, Turns


@dataclass(frozen=True)
class Job:
    """A request that is in the queue.

    Attributes:
        request: the values.
        image: the picture to start from, RGB.
        output_format: of the results.
        running: its entry among the running requests; the job moves its phase on.
        ticket: its place in the queue.
        clock: started when the request came.
        on_progress: told of each step.
    """

    request: Img2ImgRequest
    image: Image.Image
    output_format: OutputFormat
    running: RunningRequest
    ticket: Ticket
    clock: Clock
    on_progress: Callable[[Progress], None]


async def run_job(job: Job, runner: Runner, turns: Turns, use: WorkerUse) -> Img2ImgResult:
    """Wait for the device, make the pictures one after another, and write the receipt.

    Raises:
        NonFiniteOutputError: a network produced NaN or infinity.
    """
    async with turns.turn(job.ticket):
        job.clock.queued()
        job.running.phase = Phase.PHASE_ENCODING
        started = await runner.start(job.request, job.image)
        job.clock.encoded()
        pictures = [await _picture(job, index, row, runner, turns) for index, row in enumerate(started.rows)]
    images = await asyncio.gather(*(asyncio.to_thread(_encoded, picture, job.output_format) for picture in pictures))
    job.clock.decoded()
    steps = sum(len(row.schedule) for row in started.rows)
    return Img2ImgResult(
        request_id=job.running.request_id,
        images=images,
        seed=job.request.seed,
        receipt=_receipt(job.clock, steps, started.truncated, use),
    )


async def _picture(job: Job, index: int, row: Row, runner: Runner, turns: Turns) -> Image.Image:
    """Step a row to its end and decode it."""
    job.running.phase = Phase.PHASE_DENOISING
    while not row.done:
        row = await runner.step(job.request, row)
        turns.progress(job.ticket, runner.step_seconds(job.request))
        job.on_progress(Progress(image_index=index, step=row.steps_done, total_steps=len(row.schedule)))
    job.clock.denoised()
    job.running.phase = Phase.PHASE_DECODING
    picture = await runner.finish(job.request, row)
    job.clock.decoded()
    return picture


def _encoded(picture: Image.Image, output_format: OutputFormat) -> EncodedImage:
    return EncodedImage(
        data=write_image(picture, output_format),
        format=IMAGE_FORMATS[output_format],
        width=picture.width,
        height=picture.height,
    )


def _receipt(clock: Clock, steps: int, cut: dict[str, str], use: WorkerUse) -> Receipt:
    return Receipt(
        queued_seconds=clock.queued_seconds,
        encoding_seconds=clock.encoding_seconds,
        denoising_seconds=clock.denoising_seconds,
        decoding_seconds=clock.decoding_seconds,
        total_seconds=clock.total_seconds,
        denoising_steps=steps,
        steps_by_batch_size={1: steps},
        workers=[use],
        truncations=truncations(Tier.TIER_DECODER, cut),
    )
