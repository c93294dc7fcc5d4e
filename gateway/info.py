"""What GetServerInfo tells: the models and the workers, asked all at once."""

import asyncio
from collections.abc import Mapping
from importlib import metadata

from gateway.img2img import Tiers
from imagegen.v1.common_pb2 import Tier
from imagegen.v1.decoder_pb2 import DecoderServiceGetModelRequest
from imagegen.v1.gateway_pb2 import GetServerInfoResponse, WorkerInfo, WorkerState
from imagegen.v1.prior_pb2 import PriorServiceGetModelRequest

# A worker answers from memory: one that takes longer is not there.
_TIMEOUT_SECONDS = 2.0


async def server_info(tiers: Tiers) -> GetServerInfoResponse:
    """Models and workers as they are now; a tier of which no worker answers has no model."""
    priors, decoders = await asyncio.gather(
        tiers.prior.ask_all(lambda stub: stub.GetModel(PriorServiceGetModelRequest(), timeout=_TIMEOUT_SECONDS)),
        tiers.decoder.ask_all(lambda stub: stub.GetModel(DecoderServiceGetModelRequest(), timeout=_TIMEOUT_SECONDS)),
    )
    prior = next((answer.prior for answer in priors.values() if answer is not None), None)
    decoder = next((answer.decoder for answer in decoders.values() if answer is not None), None)
    workers = [*_workers(Tier.TIER_PRIOR, priors), *_workers(Tier.TIER_DECODER, decoders)]
    return GetServerInfoResponse(version=_version(), prior=prior, decoder=decoder, workers=workers)


def _workers(tier: Tier.ValueType, answers: Mapping[str, object | None]) -> list[WorkerInfo]:
    return [WorkerInfo(tier=tier, address=address, state=_state(answer)) for address, answer in answers.items()]


def _state(answer: object | None) -> WorkerState.ValueType:
    return WorkerState.WORKER_STATE_UNREACHABLE if answer is None else WorkerState.WORKER_STATE_READY


def _version() -> str:
    try:
        return metadata.version("kandinsky-serving")
    except metadata.PackageNotFoundError:  # run from the sources, not installed
        return "unknown"
