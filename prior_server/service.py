"""PriorService: what comes over the wire, checked, handed to the engine and answered."""

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

import grpc
import numpy as np
import numpy.typing as npt

from imagegen.v1.common_pb2 import Bucket, ImageEmbeddings, ModelInfo, Phase, Priority, Receipt
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
from kandinsky.prior_model import PriorModel
from prior_server.actions import PriorInput
from prior_server.config import PriorConfig
from prior_server.engine import PriorEngine, planned, steps_left
from prior_server.flights import Flights, PriorJobOf
from prior_server.info import prior_info
from prior_server.receipt import receipt_of
from prior_server.values import parse_encode_prompt, parse_interpolate, parse_weights
from serving.requests import RunningRequests
from serving.tensors import from_array
from worker.errors import told_to_client
from worker.service import deadline_seconds

_Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"
_Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Serving:
    """What calls are answered with: a loaded model, its engine, and what is in flight there."""

    model: PriorModel
    info: ModelInfo
    engine: PriorEngine
    flights: Flights


class PriorService(PriorServiceServicer):
    """Answers calls with one loaded prior. Calls are let in by the server after `start`."""

    def __init__(self, config: PriorConfig, running: RunningRequests) -> None:
        self._config = config
        self._running = running
        self._serving: Serving

    def start(self, serving: Serving) -> None:
        """Take the loaded model into use."""
        self._serving = serving

    async def EncodePrompt(  # noqa: N802 - the rpc's name
        self, request: PriorServiceEncodePromptRequest, context: _Context
    ) -> PriorServiceEncodePromptResponse:
        """Turn a prompt into image embeddings."""
        values, count = parse_encode_prompt(request, self._serving.model, self._config)
        origin = PriorInput((request.prompt,) * count, values, one_generator=False)
        job, receipt = await self._run(
            (request.prompt, values, count), request.request_id, request.priority, origin, context
        )
        made = [job.outputs[place] for place in range(count)]
        return PriorServiceEncodePromptResponse(
            request_id=request.request_id,
            embeddings=self._embeddings(
                np.concatenate([embeds for embeds, _ in made]), np.concatenate([negative for _, negative in made])
            ),
            seed=values.seed,
            receipt=receipt,
        )

    async def Interpolate(  # noqa: N802 - the rpc's name
        self, request: PriorServiceInterpolateRequest, context: _Context
    ) -> PriorServiceInterpolateResponse:
        """Mix texts and images into one embedding."""
        values = parse_interpolate(request, self._serving.model, self._config)
        weights = parse_weights(request.items, self._config)
        items = [await self._content(index, item) for index, item in enumerate(request.items)]
        origin = PriorInput((*items, request.negative_prompt), values, one_generator=True)
        # Its pictures make it unlike any other.
        job, receipt = await self._run(object(), request.request_id, request.priority, origin, context)
        mix = np.zeros((1, self._serving.model.embedding_dim), np.float32)
        for place, weight in enumerate(weights):
            mix = mix + job.outputs[place][0] * np.float32(weight)
        embeds, negative = job.outputs[len(items)]
        return PriorServiceInterpolateResponse(
            request_id=request.request_id,
            embeddings=self._embeddings(mix, negative if request.negative_prompt == "" else embeds),
            seed=values.seed,
            receipt=receipt,
        )

    async def _run(
        self,
        key: Hashable,
        request_id: str,
        priority: Priority.ValueType,
        origin: PriorInput,
        context: _Context,
    ) -> tuple[PriorJobOf, Receipt]:
        """The job of what is asked for, done, and what it cost; see `Flights.join`."""
        engine, arrival_seconds = self._serving.engine, self._serving.engine.now_seconds()
        # Others may be waiting for it when the request's own id is free again.
        own_id = f"{request_id} {arrival_seconds}"
        item = planned(own_id, origin.values, priority, arrival_seconds, deadline_seconds(context))
        job, was_begun = await self._serving.flights.join(
            key,
            self._running[request_id],
            lambda listener: engine.submit(item, origin, steps_left(origin), listener),
        )
        total_seconds = engine.now_seconds() - arrival_seconds
        return job, receipt_of(job, engine.worker, self._serving.info.digest, total_seconds, joined=was_begun)

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
        serving = self._serving
        return PriorServiceGetModelResponse(
            prior=prior_info(serving.model, serving.info, self._config, _buckets(serving.engine))
        )

    async def WatchStatus(  # noqa: N802 - the rpc's name
        self, request: PriorServiceWatchStatusRequest, context: _Context
    ) -> AsyncGenerator[PriorServiceWatchStatusResponse, None]:
        """Tell how busy the worker is, until the server stops."""
        async with aclosing(self._serving.engine.watch()) as states:
            async for status in states:
                yield PriorServiceWatchStatusResponse(status=status)

    async def _content(self, index: int, item: InterpolationItem) -> str | _Floats:
        """An item's text, or its picture as the device needs it."""
        if item.WhichOneof("content") == "text":
            return item.text
        field = f"items[{index}].image"
        with told_to_client({}, Phase.PHASE_QUEUED):
            return await asyncio.to_thread(self._image_pixels, item.image, field)

    def _image_pixels(self, data: bytes, field: str) -> _Floats:
        return self._serving.model.image_pixels(read_image(data, self._config.max_image_pixels, field))

    def _embeddings(self, embeds: _Floats, negatives: _Floats) -> ImageEmbeddings:
        return ImageEmbeddings(
            image_embeds=from_array(embeds),
            negative_image_embeds=from_array(negatives),
            prior_digest=self._serving.info.digest,
        )


def _buckets(engine: PriorEngine) -> list[Bucket]:
    """What is compiled; embeddings have no size."""
    buckets = engine.buckets(evaluations=2)
    for bucket in buckets:
        bucket.width = bucket.height = 0
    return buckets
