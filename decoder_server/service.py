"""DecoderService: what comes over the wire, checked, handed to the engine and answered."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

import grpc
from PIL import Image

from decoder_server.actions import DecoderInput, snapshot_of
from decoder_server.config import DecoderConfig
from decoder_server.engine import DecoderEngine, planned, steps_left
from decoder_server.info import decoder_info
from decoder_server.news import Asked, Reporter
from decoder_server.parsing import parse
from decoder_server.result import write_result
from decoder_server.resume import parse_resumptions
from decoder_server.sizes import ServedSizes
from imagegen.v1.common_pb2 import ModelInfo, Phase, Queued, Tier, WorkerUse
from imagegen.v1.decoder_pb2 import (
    DecoderServiceCancelRequest,
    DecoderServiceCancelResponse,
    DecoderServiceGetModelRequest,
    DecoderServiceGetModelResponse,
    DecoderServiceImg2ImgRequest,
    DecoderServiceImg2ImgResponse,
    DecoderServiceStreamImg2ImgRequest,
    DecoderServiceStreamImg2ImgResponse,
    DecoderServiceWatchStatusRequest,
    DecoderServiceWatchStatusResponse,
)
from imagegen.v1.decoder_pb2_grpc import DecoderServiceServicer
from kandinsky.decoder_model import DecoderModel
from kandinsky.images import OutputFormat, read_image
from kandinsky.img2img import Img2ImgRequest, working_image
from kandinsky.preview import PreviewProjection
from serving.errors import DrainingError
from serving.requests import RunningRequests
from worker.errors import told_to_client
from worker.service import deadline_seconds

_Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


@dataclass(frozen=True)
class Serving:
    """What calls are answered with: a loaded model, its engine, how previews are made, and the sizes it works at."""

    model: DecoderModel
    info: ModelInfo
    engine: DecoderEngine
    projection: PreviewProjection
    sizes: ServedSizes


class DecoderService(DecoderServiceServicer):
    """Answers calls with one loaded decoder. Calls are let in by the server after `start`."""

    def __init__(self, config: DecoderConfig, running: RunningRequests) -> None:
        self._config = config
        self._running = running
        self._serving: Serving

    def start(self, serving: Serving) -> None:
        """Take the loaded model into use."""
        self._serving = serving

    async def Img2Img(  # noqa: N802 - the rpc's name
        self, request: DecoderServiceImg2ImgRequest, context: _Context
    ) -> DecoderServiceImg2ImgResponse:
        """Make pictures and answer when they are done."""
        stream = self.StreamImg2Img(DecoderServiceStreamImg2ImgRequest(request=request), context)
        answer = DecoderServiceImg2ImgResponse()
        async with aclosing(stream) as events:
            async for event in events:
                if event.HasField("result"):
                    answer.result.CopyFrom(event.result)
        return answer

    async def StreamImg2Img(  # noqa: N802 - the rpc's name
        self, request: DecoderServiceStreamImg2ImgRequest, context: _Context
    ) -> AsyncGenerator[DecoderServiceStreamImg2ImgResponse, None]:
        """Make pictures and tell how it goes; news that a slow client has not read give way to newer ones."""
        engine, request_id = self._serving.engine, request.request.request_id
        arrival_seconds, remaining_seconds = engine.now_seconds(), deadline_seconds(context)
        origin, output_format, asked = await self._parse(request)
        reporter = Reporter(self._running[request_id], asked, self._serving.projection, self._serving.info.digest)
        left = steps_left(origin)
        item = planned(request.request, origin, self._serving.model, arrival_seconds, remaining_seconds)
        with engine.job(item, origin, left, reporter) as job:
            # Last, so that what is refused for another reason takes no size's place.
            self._serving.sizes.admit(item.shape)
            ahead = engine.ahead(job)
            queued = Queued(
                request_id=request_id,
                tier=Tier.TIER_DECODER,
                position=ahead.requests,
                estimated_wait_seconds=ahead.seconds,
            )
            yield DecoderServiceStreamImg2ImgResponse(queued=queued)
            async with aclosing(reporter.mailbox.follow(job.done)) as all_news:
                async for news in all_news:
                    yield news
            try:
                await job.done
            except DrainingError:
                for index, state in enumerate(job.states if asked.checkpoint_every_steps else ()):
                    if state.row.steps_done:
                        yield reporter.checkpoint(index, state, await engine.read(snapshot_of, state))
                raise
        use = WorkerUse(tier=Tier.TIER_DECODER, worker=engine.worker, model_digest=self._serving.info.digest)
        result = await write_result(job, output_format, use, engine.now_seconds)
        yield DecoderServiceStreamImg2ImgResponse(result=result)

    async def Cancel(  # noqa: N802 - the rpc's name
        self, request: DecoderServiceCancelRequest, context: _Context
    ) -> DecoderServiceCancelResponse:
        """Stop a request."""
        phase = self._running.cancel(request.request_id)
        return DecoderServiceCancelResponse(found=phase != Phase.PHASE_UNSPECIFIED, phase=phase)

    async def GetModel(  # noqa: N802 - the rpc's name
        self, request: DecoderServiceGetModelRequest, context: _Context
    ) -> DecoderServiceGetModelResponse:
        """Tell what is loaded."""
        serving = self._serving
        buckets = serving.engine.buckets(evaluations=2)
        return DecoderServiceGetModelResponse(decoder=decoder_info(serving.model, serving.info, self._config, buckets))

    async def WatchStatus(  # noqa: N802 - the rpc's name
        self, request: DecoderServiceWatchStatusRequest, context: _Context
    ) -> AsyncGenerator[DecoderServiceWatchStatusResponse, None]:
        """Tell how busy the worker is, until the server stops."""
        async with aclosing(self._serving.engine.watch()) as states:
            async for status in states:
                yield DecoderServiceWatchStatusResponse(status=status)

    async def _parse(self, message: DecoderServiceStreamImg2ImgRequest) -> tuple[DecoderInput, OutputFormat, Asked]:
        model, info = self._serving.model, self._serving.info
        request, output_format = parse(message.request, model, self._config)
        resume_from = parse_resumptions(message.resume_from, request, model, info.digest)
        asked = Asked(message.preview_every_steps, message.checkpoint_every_steps)
        with told_to_client({}, Phase.PHASE_QUEUED):
            image = await asyncio.to_thread(self._working_image, request, message.request.image)
        return DecoderInput(request, image, resume_from, asked.snapshot_every_steps), output_format, asked

    def _working_image(self, request: Img2ImgRequest, data: bytes) -> Image.Image:
        image = read_image(data, self._config.max_image_pixels)
        return working_image(self._serving.model, request, image)
