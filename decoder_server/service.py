"""DecoderService: what comes over the wire, checked, queued and answered."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import TypeAlias

import grpc
from PIL import Image

from decoder_server.config import DecoderConfig
from decoder_server.info import decoder_info
from decoder_server.job import Job, run_job
from decoder_server.parsing import parse
from decoder_server.runner import Runner
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
    Img2ImgResult,
    Progress,
)
from imagegen.v1.decoder_pb2_grpc import DecoderServiceServicer
from kandinsky.images import OutputFormat, read_image
from kandinsky.img2img import Img2ImgRequest
from kandinsky.schedulers.img2img import steps_run
from serving.errors import InvalidFieldError
from serving.requests import RunningRequests
from worker.clock import Clock
from worker.errors import told_to_client
from worker.mailbox import Mailbox, stopped
from worker.service import deadline_seconds
from worker.turns import Ticket, Turns

_Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


@dataclass(frozen=True)
class _Parsed:
    """A request that may be queued."""

    request: Img2ImgRequest
    image: Image.Image
    output_format: OutputFormat
    clock: Clock


class DecoderService(DecoderServiceServicer):
    """Answers calls with one loaded decoder. Calls are let in by the server after `start`."""

    def __init__(self, config: DecoderConfig, running: RunningRequests, turns: Turns) -> None:
        self._config = config
        self._running = running
        self._turns = turns
        self._runner: Runner
        self._model: ModelInfo

    def start(self, runner: Runner, model: ModelInfo) -> None:
        """Take the loaded model into use."""
        self._runner = runner
        self._model = model

    async def Img2Img(  # noqa: N802 - the rpc's name
        self, request: DecoderServiceImg2ImgRequest, context: _Context
    ) -> DecoderServiceImg2ImgResponse:
        """Make pictures and answer when they are done."""
        parsed = await self._parse(request)
        with self._queue(parsed, context) as ticket:
            result = await self._run(parsed, ticket, request.request_id, _ignore)
        return DecoderServiceImg2ImgResponse(result=result)

    async def StreamImg2Img(  # noqa: N802 - the rpc's name
        self, request: DecoderServiceStreamImg2ImgRequest, context: _Context
    ) -> AsyncGenerator[DecoderServiceStreamImg2ImgResponse, None]:
        """Make pictures and tell how it goes; progress that a slow client has not read gives way to newer."""
        _refuse_checkpoints(request)
        request_id = request.request.request_id
        parsed = await self._parse(request.request)
        mailbox: Mailbox[Progress] = Mailbox()
        with self._queue(parsed, context) as ticket:
            yield DecoderServiceStreamImg2ImgResponse(queued=self._queued(request_id, ticket))
            work = asyncio.create_task(
                self._run(parsed, ticket, request_id, lambda news: mailbox.put(news.image_index, news))
            )
            try:
                async with aclosing(mailbox.follow(work)) as all_news:
                    async for news in all_news:
                        yield DecoderServiceStreamImg2ImgResponse(progress=news)
                result = await work
            finally:
                await stopped(work)
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
        return DecoderServiceGetModelResponse(decoder=decoder_info(self._runner.model, self._model, self._config))

    async def WatchStatus(  # noqa: N802 - the rpc's name
        self, request: DecoderServiceWatchStatusRequest, context: _Context
    ) -> AsyncGenerator[DecoderServiceWatchStatusResponse, None]:
        """Tell how busy the worker is, until the server stops."""
        async with aclosing(self._turns.watch()) as states:
            async for status in states:
                yield DecoderServiceWatchStatusResponse(status=status)

    async def _parse(self, message: DecoderServiceImg2ImgRequest) -> _Parsed:
        clock = Clock()
        request, output_format = parse(message, self._runner.model, self._config)
        with told_to_client({}, Phase.PHASE_QUEUED):
            image = await asyncio.to_thread(read_image, message.image, self._config.max_image_pixels)
        return _Parsed(request, image, output_format, clock)

    def _queue(self, parsed: _Parsed, context: _Context) -> AbstractContextManager[Ticket]:
        request = parsed.request
        steps = request.num_images * steps_run(request.steps, request.strength)
        seconds = steps * self._runner.step_seconds(request)
        return self._turns.queue(request.num_images, seconds, deadline_seconds(context))

    def _queued(self, request_id: str, ticket: Ticket) -> Queued:
        position, seconds = self._turns.ahead(ticket)
        return Queued(request_id=request_id, tier=Tier.TIER_DECODER, position=position, estimated_wait_seconds=seconds)

    async def _run(
        self, parsed: _Parsed, ticket: Ticket, request_id: str, on_progress: Callable[[Progress], None]
    ) -> Img2ImgResult:
        running = self._running[request_id]
        job = Job(parsed.request, parsed.image, parsed.output_format, running, ticket, parsed.clock, on_progress)
        use = WorkerUse(tier=Tier.TIER_DECODER, worker=self._turns.worker, model_digest=self._model.digest)
        return await run_job(job, self._runner, self._turns, use)


def _ignore(progress: Progress) -> None:
    """Unary calls have nobody to tell."""


def _refuse_checkpoints(request: DecoderServiceStreamImg2ImgRequest) -> None:
    if request.checkpoint_every_steps or request.resume_from:
        raise InvalidFieldError("checkpoint_every_steps", "this worker keeps no latent checkpoints; use 0")
