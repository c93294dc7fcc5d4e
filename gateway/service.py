# ruff: noqa: N802 - the methods are named by the proto
"""ImageService, the public API: each method hands its request to the tiers and tells their errors."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from gateway.admission import Demand
from gateway.backend import Backend
from gateway.call_metadata import call_metadata
from gateway.img2img import Img2ImgJob, draw_seed
from gateway.info import server_info
from gateway.pace import prior_units
from gateway.upstream import passing_on
from gateway.workers import Journey
from imagegen.v1 import gateway_pb2, gateway_pb2_grpc
from imagegen.v1.common_pb2 import Phase, Tier
from imagegen.v1.prior_pb2 import PriorInfo, PriorServiceEncodePromptRequest, PriorServiceInterpolateRequest
from serving.requests import RunningRequests
from serving.tenants import current_tenant

MessageT = TypeVar("MessageT", bound=Message)


class ImageServicer(gateway_pb2_grpc.ImageServiceServicer):
    """The methods of ImageService."""

    def __init__(self, backend: Backend, running: RunningRequests) -> None:
        self._backend = backend
        self._running = running

    async def Img2Img(
        self,
        request: gateway_pb2.Img2ImgRequest,
        context: "grpc.aio.ServicerContext[gateway_pb2.Img2ImgRequest, gateway_pb2.Img2ImgResponse]",
    ) -> gateway_pb2.Img2ImgResponse:
        """Makes pictures and answers when they are done."""
        job = self._job(gateway_pb2.StreamImg2ImgRequest(request=request), context)
        response = gateway_pb2.Img2ImgResponse()
        async with aclosing(job.run()) as events:
            async for event in events:
                if event.HasField("result"):
                    response.result.CopyFrom(event.result)
        return response

    async def StreamImg2Img(
        self,
        request: gateway_pb2.StreamImg2ImgRequest,
        context: "grpc.aio.ServicerContext[gateway_pb2.StreamImg2ImgRequest, gateway_pb2.StreamImg2ImgResponse]",
    ) -> AsyncGenerator[gateway_pb2.StreamImg2ImgResponse, None]:
        """Makes pictures and tells how it goes."""
        async with aclosing(self._job(request, context).run()) as events:
            async for event in events:
                yield event

    async def EncodePrompt(
        self,
        request: gateway_pb2.EncodePromptRequest,
        context: "grpc.aio.ServicerContext[gateway_pb2.EncodePromptRequest, gateway_pb2.EncodePromptResponse]",
    ) -> gateway_pb2.EncodePromptResponse:
        """Turns a prompt into image embeddings."""
        arrival = time.monotonic()
        running = self._running[request.request_id]
        running.phase = Phase.PHASE_ENCODING
        if not request.params.HasField("seed"):
            request.params.seed = draw_seed()
        to_prior = _as(PriorServiceEncodePromptRequest, request)
        demand = self._backend.demand(to_prior, None, request.priority, remaining_seconds=context.time_remaining())
        with self._backend.admit(demand) as ticket, passing_on(running):
            ticket.sent(Tier.TIER_PRIOR)
            answer = await self._backend.encoder.encode(to_prior, context.time_remaining)
        answer.receipt.total_seconds = time.monotonic() - arrival
        return _as(gateway_pb2.EncodePromptResponse, answer)

    async def Interpolate(
        self,
        request: gateway_pb2.InterpolateRequest,
        context: "grpc.aio.ServicerContext[gateway_pb2.InterpolateRequest, gateway_pb2.InterpolateResponse]",
    ) -> gateway_pb2.InterpolateResponse:
        """Mixes texts and images into one embedding."""
        arrival = time.monotonic()
        running = self._running[request.request_id]
        running.phase = Phase.PHASE_ENCODING
        to_prior = _as(PriorServiceInterpolateRequest, request)
        # Each text is encoded, and one for the negative embedding.
        units = partial(prior_units, len(request.items) + 1, request.params)
        seconds = {Tier.TIER_PRIOR: self._backend.prior.seconds(units)}
        demand = Demand(current_tenant.get(), request.priority, seconds, context.time_remaining())
        journey: Journey[PriorInfo] = Journey(units)
        with self._backend.admit(demand) as ticket, passing_on(running):
            ticket.sent(Tier.TIER_PRIOR)
            answer, _ = await self._backend.prior.ask(
                lambda stub: stub.Interpolate(to_prior, timeout=context.time_remaining(), metadata=call_metadata()),
                journey,
            )
        answer.receipt.retries += journey.moves
        answer.receipt.total_seconds = time.monotonic() - arrival
        return _as(gateway_pb2.InterpolateResponse, answer)

    async def Cancel(
        self,
        request: gateway_pb2.CancelRequest,
        context: "grpc.aio.ServicerContext[gateway_pb2.CancelRequest, gateway_pb2.CancelResponse]",
    ) -> gateway_pb2.CancelResponse:
        """Stops a request; the calls it made to workers are cancelled with it."""
        phase = self._running.cancel(request.request_id)
        return gateway_pb2.CancelResponse(found=phase != Phase.PHASE_UNSPECIFIED, phase=phase)

    async def GetServerInfo(
        self,
        request: gateway_pb2.GetServerInfoRequest,
        context: "grpc.aio.ServicerContext[gateway_pb2.GetServerInfoRequest, gateway_pb2.GetServerInfoResponse]",
    ) -> gateway_pb2.GetServerInfoResponse:
        """Tells models, defaults, limits and the workers."""
        return server_info(self._backend)

    def _job(
        self, request: gateway_pb2.StreamImg2ImgRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> Img2ImgJob:
        running = self._running[request.request.request_id]
        return Img2ImgJob(self._backend, request, running, context.time_remaining)


def _as(message_class: type[MessageT], message: Message) -> MessageT:
    """The same fields as a message of another class; a test holds the classes to the same fields."""
    return message_class.FromString(message.SerializeToString())
