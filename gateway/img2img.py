"""One Img2Img request, from its arrival to its pictures: embeddings from a prior, pictures from a decoder.

The picture travels as the bytes that came; nothing here decodes it. What cannot be known without a model (sizes, steps,
limits) is left to the workers, whose refusals reach the client as they are.
"""

import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from gateway.admission import Demand
from gateway.backend import Backend
from gateway.decoding import Decoding
from gateway.receipts import merge
from gateway.upstream import passing_on
from imagegen.v1.common_pb2 import ImageEmbeddings, Phase, Queued, Receipt, Tier
from imagegen.v1.decoder_pb2 import (
    DecoderServiceImg2ImgRequest,
    DecoderServiceStreamImg2ImgResponse,
    Img2ImgResult,
    Progress,
)
from imagegen.v1.gateway_pb2 import Img2ImgRequest, PromptEncoded, StreamImg2ImgRequest, StreamImg2ImgResponse
from imagegen.v1.prior_pb2 import PriorServiceEncodePromptRequest, PriorServiceEncodePromptResponse
from serving.errors import InvalidFieldError
from serving.requests import RunningRequest

_DRAWN_SEEDS = 2**32  # short enough to be typed again


class Img2ImgJob:
    """One request and what has become of it so far."""

    def __init__(
        self,
        backend: Backend,
        stream_request: StreamImg2ImgRequest,
        running: RunningRequest,
        time_remaining: Callable[[], float | None],
    ) -> None:
        self._backend = backend
        self._request = stream_request.request
        self._preview_every_steps = stream_request.preview_every_steps
        self._running = running
        self._time_remaining = time_remaining
        self._arrival = time.monotonic()
        self._finished_images: set[int] = set()

    async def run(self) -> AsyncGenerator[StreamImg2ImgResponse, None]:
        """Does it: Queued first, the result last."""
        _check(self._request)
        if not self._request.params.HasField("seed"):
            self._request.params.seed = draw_seed()
        to_prior = None if self._request.HasField("embeddings") else _prior_request(self._request)
        demand = self._backend.demand(
            to_prior, self._request.params, self._request.priority, remaining_seconds=self._time_remaining()
        )
        queued = self._queued(demand)  # before it is itself a part of what waits
        with self._backend.admit(demand) as ticket:
            yield queued
            embeddings, receipt = self._request.embeddings, Receipt()
            if to_prior is not None:
                ticket.sent(Tier.TIER_PRIOR)
                encoded = await self._encode_prompt(to_prior, demand.seconds[Tier.TIER_DECODER])
                embeddings, receipt = encoded.embeddings, encoded.receipt
                yield _prompt_encoded(receipt)
            ticket.sent(Tier.TIER_DECODER)
            async with aclosing(self._denoise(embeddings, receipt)) as events:
                async for event in events:
                    yield event

    def _queued(self, demand: Demand) -> StreamImg2ImgResponse:
        """What it waits for: the first tier that has work to do for it."""
        tier = Tier.TIER_PRIOR if Tier.TIER_PRIOR in demand.seconds else Tier.TIER_DECODER
        queued = Queued(
            request_id=self._request.request_id,
            tier=tier,
            position=self._backend.requests_ahead(tier),
            estimated_wait_seconds=self._backend.wait_seconds([tier]),
        )
        return StreamImg2ImgResponse(queued=queued)

    async def _encode_prompt(
        self, request: PriorServiceEncodePromptRequest, decoder_seconds: float
    ) -> PriorServiceEncodePromptResponse:
        self._running.phase = Phase.PHASE_ENCODING
        seed_field = "prior.seed" if self._request.prior.HasField("seed") else "params.seed"
        # The prior speaks of its own request.
        names = {"params.seed": seed_field, "params": "prior", "num_embeddings": "params.num_images"}

        def time_remaining() -> float | None:
            """The prior may have the time that the decoder will not need."""
            remaining_seconds = self._time_remaining()
            return None if remaining_seconds is None else max(remaining_seconds - decoder_seconds, 0.0)

        with passing_on(self._running, names):
            return await self._backend.encoder.encode(request, time_remaining)

    async def _denoise(
        self, embeddings: ImageEmbeddings, receipt: Receipt
    ) -> AsyncGenerator[StreamImg2ImgResponse, None]:
        self._running.phase = Phase.PHASE_QUEUED
        decoding = Decoding(
            self._backend.decoder,
            _decoder_request(self._request, embeddings),
            self._preview_every_steps,
            self._backend.checkpoint_every_steps,
            self._time_remaining,
        )
        with passing_on(self._running):
            async with aclosing(decoding.events()) as messages:
                async for message in messages:
                    if message.HasField("result"):
                        parts = [receipt, *decoding.lost, message.result.receipt]
                        yield StreamImg2ImgResponse(result=self._with_receipt(message.result, parts, decoding.moves))
                    else:
                        yield self._event(message)

    def _event(self, message: DecoderServiceStreamImg2ImgResponse) -> StreamImg2ImgResponse:
        """What the client is told of a decoder's news."""
        if message.HasField("progress"):
            self._running.phase = self._phase_after(message.progress)
            return StreamImg2ImgResponse(progress=message.progress)
        return StreamImg2ImgResponse(queued=message.queued)

    def _phase_after(self, progress: Progress) -> Phase.ValueType:
        if progress.step == progress.total_steps:
            self._finished_images.add(progress.image_index)
        num_images = self._request.params.num_images if self._request.params.HasField("num_images") else 1
        return Phase.PHASE_DECODING if len(self._finished_images) == num_images else Phase.PHASE_DENOISING

    def _with_receipt(self, result: Img2ImgResult, parts: list[Receipt], retries: int) -> Img2ImgResult:
        total_seconds = time.monotonic() - self._arrival
        result.receipt.CopyFrom(merge(parts, retries=retries, total_seconds=total_seconds))
        return result


def draw_seed() -> int:
    """A seed for a request that has none: drawn here, so that all tiers and all attempts use the same."""
    return secrets.randbelow(_DRAWN_SEEDS)


def _check(request: Img2ImgRequest) -> None:
    if request.HasField("embeddings") and request.HasField("prior"):
        raise InvalidFieldError("prior", "must not be set together with embeddings, which need no prior")
    if not request.image:
        raise InvalidFieldError("image", "must be a PNG, JPEG or WebP file, but is empty")


def _prior_request(request: Img2ImgRequest) -> PriorServiceEncodePromptRequest:
    """An embedding for each image's seed, or the one that all share when the prior has a seed of its own."""
    encode = PriorServiceEncodePromptRequest(
        request_id=request.request_id,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt if request.HasField("negative_prompt") else None,
        params=request.prior,
        num_embeddings=1,
        priority=request.priority,
    )
    if not request.prior.HasField("seed"):
        encode.params.seed = request.params.seed
        if request.params.HasField("num_images"):
            encode.num_embeddings = request.params.num_images
    return encode


def _decoder_request(request: Img2ImgRequest, embeddings: ImageEmbeddings) -> DecoderServiceImg2ImgRequest:
    return DecoderServiceImg2ImgRequest(
        request_id=request.request_id,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt if request.HasField("negative_prompt") else None,
        image=request.image,
        embeddings=embeddings,
        params=request.params,
        priority=request.priority,
    )


def _prompt_encoded(receipt: Receipt) -> StreamImg2ImgResponse:
    encoded = PromptEncoded(cache_hit=receipt.cache_hit, truncations=receipt.truncations)
    return StreamImg2ImgResponse(prompt_encoded=encoded)
