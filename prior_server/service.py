"""PriorService: what comes over the wire, checked, queued and answered."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeAlias

import grpc
import numpy as np
import numpy.typing as npt
from PIL import Image

from imagegen.v1.common_pb2 import ImageEmbeddings, ModelInfo, Phase, Receipt, Tier, WorkerUse
from imagegen.v1.prior_pb2 import (
    InterpolationItem,
    PriorServiceCancelRequest,
    PriorServiceCancelResponse,
    PriorServiceEncodePromptRequest,
    PriorServiceEncodePromptResponse,
    PriorServiceGetModelRequest,
    PriorServiceGetModelResponse,
    PriorServiceInterpolateRequest,
    PriorServiceInterpolateResponse,
    PriorServiceWatchStatusRequest,
    PriorServiceWatchStatusResponse,
)
from imagegen.v1.prior_pb2_grpc import PriorServiceServicer
from kandinsky.images import read_image
from kandinsky.noise import generators
from prior_server.config import PriorConfig
from prior_server.info import prior_info
from prior_server.mix import Mix
from prior_server.runner import Runner
from prior_server.values import parse_encode_prompt, parse_interpolate, parse_weights
from serving.requests import RunningRequests
from serving.tensors import from_array
from worker.clock import Clock
from worker.errors import told_to_client
from worker.service import deadline_seconds, truncations
from worker.turns import Turns

_Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"
_Floats: TypeAlias = npt.NDArray[np.float32]


class PriorService(PriorServiceServicer):
    """Answers calls with one loaded prior. Calls are let in by the server after `start`."""

    def __init__(self, config: PriorConfig, running: RunningRequests, turns: Turns) -> None:
        self._config = config
        self._running = running
        self._turns = turns
        self._runner: Runner
        self._model: ModelInfo

    def start(self, runner: Runner, model: ModelInfo) -> None:
        """Take the loaded model into use."""
        self._runner = runner
        self._model = model

    async def EncodePrompt(  # noqa: N802 - the rpc's name
        self, request: PriorServiceEncodePromptRequest, context: _Context
    ) -> PriorServiceEncodePromptResponse:
        """Turn a prompt into image embeddings."""
        clock = Clock()
        values, count = parse_encode_prompt(request, self._runner.model, self._config)
        seconds = count * values.steps * self._runner.step_seconds
        embeds, negatives = [], []
        cut: dict[str, str] = {}
        with self._turns.queue(count, seconds, deadline_seconds(context)) as ticket:
            async with self._turns.turn(ticket):
                clock.queued()
                self._running[request.request_id].phase = Phase.PHASE_ENCODING
                for generator in generators(values.seed, count):
                    (positive, negative), job = await self._runner.encode(request.prompt, values, generator)
                    embeds.append(positive)
                    negatives.append(negative)
                    cut = job.truncated
                clock.encoded()
        return PriorServiceEncodePromptResponse(
            request_id=request.request_id,
            embeddings=self._embeddings(np.concatenate(embeds), np.concatenate(negatives)),
            seed=values.seed,
            receipt=self._receipt(clock, count * values.steps, cut),
        )

    async def Interpolate(  # noqa: N802 - the rpc's name
        self, request: PriorServiceInterpolateRequest, context: _Context
    ) -> PriorServiceInterpolateResponse:
        """Mix texts and images into one embedding."""
        clock = Clock()
        values = parse_interpolate(request, self._runner.model, self._config)
        weights = parse_weights(request.items, self._config)
        contents = [await self._content(index, item) for index, item in enumerate(request.items)]
        texts = 1 + sum(isinstance(content, str) for content in contents)
        seconds = texts * values.steps * self._runner.step_seconds
        with self._turns.queue(1, seconds, deadline_seconds(context)) as ticket:
            async with self._turns.turn(ticket):
                clock.queued()
                self._running[request.request_id].phase = Phase.PHASE_ENCODING
                mix = Mix(self._runner, values)
                for index, (content, weight) in enumerate(zip(contents, weights, strict=True)):
                    await mix.add(index, content, weight)
                negative = await mix.negative(request.negative_prompt)
                clock.encoded()
        return PriorServiceInterpolateResponse(
            request_id=request.request_id,
            embeddings=self._embeddings(mix.embeds, negative),
            seed=values.seed,
            receipt=self._receipt(clock, texts * values.steps, mix.cut),
        )

    async def Cancel(  # noqa: N802 - the rpc's name
        self, request: PriorServiceCancelRequest, context: _Context
    ) -> PriorServiceCancelResponse:
        """Stop a request."""
        phase = self._running.cancel(request.request_id)
        return PriorServiceCancelResponse(found=phase != Phase.PHASE_UNSPECIFIED, phase=phase)

    async def GetModel(  # noqa: N802 - the rpc's name
        self, request: PriorServiceGetModelRequest, context: _Context
    ) -> PriorServiceGetModelResponse:
        """Tell what is loaded."""
        return PriorServiceGetModelResponse(prior=prior_info(self._runner.model, self._model, self._config))

    async def WatchStatus(  # noqa: N802 - the rpc's name
        self, request: PriorServiceWatchStatusRequest, context: _Context
    ) -> AsyncGenerator[PriorServiceWatchStatusResponse, None]:
        """Tell how busy the worker is, until the server stops."""
        async with aclosing(self._turns.watch()) as states:
            async for status in states:
                yield PriorServiceWatchStatusResponse(status=status)

    async def _content(self, index: int, item: InterpolationItem) -> str | Image.Image:
        """An item's text, or its picture decoded."""
        if item.WhichOneof("content") == "text":
            return item.text
        field = f"items[{index}].image"
        with told_to_client({}, Phase.PHASE_QUEUED):
            return await asyncio.to_thread(read_image, item.image, self._config.max_image_pixels, field)

    def _embeddings(self, embeds: _Floats, negatives: _Floats) -> ImageEmbeddings:
        return ImageEmbeddings(
            image_embeds=from_array(embeds),
            negative_image_embeds=from_array(negatives),
            prior_digest=self._model.digest,
        )

    def _receipt(self, clock: Clock, steps: int, cut: dict[str, str]) -> Receipt:
        return Receipt(
            queued_seconds=clock.queued_seconds,
            encoding_seconds=clock.encoding_seconds,
            total_seconds=clock.total_seconds,
            prior_steps=steps,
            steps_by_batch_size={1: steps},
            workers=[WorkerUse(tier=Tier.TIER_PRIOR, worker=self._turns.worker, model_digest=self._model.digest)],
            truncations=truncations(Tier.TIER_PRIOR, cut),
        )
