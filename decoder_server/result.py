"""From a finished job to what its client gets: picture files and a receipt."""

import asyncio
from collections.abc import Callable

from PIL import Image

from decoder_server.actions import DecoderInput, DecoderState
from decoder_server.parsing import IMAGE_FORMATS
from imagegen.v1.common_pb2 import Receipt, Tier, WorkerUse
from imagegen.v1.decoder_pb2 import EncodedImage, Img2ImgResult
from kandinsky.images import OutputFormat, write_image
from serving.batching.work import Stage
from worker.jobs import Job
from worker.service import truncations

DecoderJob = Job[DecoderInput, DecoderState, Image.Image]


async def write_result(
    job: DecoderJob, output_format: OutputFormat, use: WorkerUse, clock: Callable[[], float]
) -> Img2ImgResult:
    """The result of a job that is done.

    Args:
        job: the job.
        output_format: of the files.
        use: who did the work.
        clock: the engine's.
    """
    pictures = [job.outputs[index] for index in range(len(job.outputs))]
    decoded_seconds = clock()
    files = await asyncio.gather(*(asyncio.to_thread(_encoded, picture, output_format) for picture in pictures))
    now_seconds = clock()
    return Img2ImgResult(
        request_id=job.request.request_id,
        images=files,
        seed=job.input.request.seed,
        receipt=_receipt(job, use, now_seconds - job.request.arrival_seconds, now_seconds - decoded_seconds),
    )


def _encoded(picture: Image.Image, output_format: OutputFormat) -> EncodedImage:
    return EncodedImage(
        data=write_image(picture, output_format),
        format=IMAGE_FORMATS[output_format],
        width=picture.width,
        height=picture.height,
    )


def _receipt(job: DecoderJob, use: WorkerUse, total_seconds: float, writing_seconds: float) -> Receipt:
    arrival_seconds = job.request.arrival_seconds
    started_seconds = arrival_seconds if job.started_seconds is None else job.started_seconds
    began_seconds, ended_seconds = (0.0, 0.0) if job.stepping_seconds is None else job.stepping_seconds
    return Receipt(
        queued_seconds=started_seconds - arrival_seconds,
        encoding_seconds=job.action_seconds.get(Stage.ENCODE, 0.0),
        denoising_seconds=ended_seconds - began_seconds,
        decoding_seconds=job.action_seconds.get(Stage.DECODE, 0.0) + writing_seconds,
        total_seconds=total_seconds,
        denoising_steps=sum(job.steps_by_batch_size.values()),
        steps_by_batch_size=job.steps_by_batch_size,
        workers=[use],
        truncations=truncations(Tier.TIER_DECODER, job.input.truncated),
    )
