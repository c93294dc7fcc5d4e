"""What differs between the tiers: whose stub, whose messages, what a call's work is."""

from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import grpc

from imagegen.v1.common_pb2 import Tier, WorkerStatus
from imagegen.v1.decoder_pb2 import DecoderInfo, DecoderServiceGetModelRequest, DecoderServiceWatchStatusRequest
from imagegen.v1.decoder_pb2_grpc import DecoderServiceStub
from imagegen.v1.prior_pb2 import PriorInfo, PriorServiceGetModelRequest, PriorServiceWatchStatusRequest
from imagegen.v1.prior_pb2_grpc import PriorServiceStub

if TYPE_CHECKING:  # these two exist for type checkers only
    from imagegen.v1.decoder_pb2_grpc import DecoderServiceAsyncStub
    from imagegen.v1.prior_pb2_grpc import PriorServiceAsyncStub

StubT = TypeVar("StubT")
InfoT = TypeVar("InfoT", bound=PriorInfo | DecoderInfo)

# A worker answers GetModel from memory: one that takes longer is not there.
ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class TierApi(Generic[StubT, InfoT]):
    """How to talk to the workers of a tier.

    Attributes:
        tier: which one.
        make_stub: their stub on a channel.
        get_model: asks what one has loaded.
        watch_status: follows how busy one is.
    """

    tier: Tier.ValueType
    make_stub: Callable[[grpc.aio.Channel], StubT]
    get_model: Callable[[StubT], Awaitable[InfoT]]
    watch_status: Callable[[StubT], AsyncIterable[WorkerStatus]]


async def _get_prior(stub: "PriorServiceAsyncStub") -> PriorInfo:
    return (await stub.GetModel(PriorServiceGetModelRequest(), timeout=ANSWER_SECONDS)).prior


async def _get_decoder(stub: "DecoderServiceAsyncStub") -> DecoderInfo:
    return (await stub.GetModel(DecoderServiceGetModelRequest(), timeout=ANSWER_SECONDS)).decoder


async def _watch_prior(stub: "PriorServiceAsyncStub") -> AsyncIterable[WorkerStatus]:
    async for message in stub.WatchStatus(PriorServiceWatchStatusRequest()):
        yield message.status


async def _watch_decoder(stub: "DecoderServiceAsyncStub") -> AsyncIterable[WorkerStatus]:
    async for message in stub.WatchStatus(DecoderServiceWatchStatusRequest()):
        yield message.status


PriorApi: TypeAlias = "TierApi[PriorServiceAsyncStub, PriorInfo]"
DecoderApi: TypeAlias = "TierApi[DecoderServiceAsyncStub, DecoderInfo]"

PRIOR: PriorApi = TierApi(Tier.TIER_PRIOR, PriorServiceStub, _get_prior, _watch_prior)
DECODER: DecoderApi = TierApi(Tier.TIER_DECODER, DecoderServiceStub, _get_decoder, _watch_decoder)
