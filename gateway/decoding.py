"""The decoders' part of an Img2Img request: from one decoder to the next until there are pictures.

A decoder that is lost has sent checkpoints; the next one goes on from the last of each image, to the same picture.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias

from gateway.call_metadata import call_metadata
from gateway.pace import decoder_units
from gateway.receipts import Attempt
from gateway.worker import Worker
from gateway.workers import Journey, WorkerPool
from imagegen.v1.common_pb2 import Receipt, Tier, WorkerUse
from imagegen.v1.decoder_pb2 import (
    DecoderInfo,
    DecoderServiceImg2ImgRequest,
    DecoderServiceStreamImg2ImgRequest,
    DecoderServiceStreamImg2ImgResponse,
    LatentCheckpoint,
)

if TYPE_CHECKING:  # exists for type checkers only
    from imagegen.v1.decoder_pb2_grpc import DecoderServiceAsyncStub

DecoderPool: TypeAlias = "WorkerPool[DecoderServiceAsyncStub, DecoderInfo]"
_Decoder: TypeAlias = "Worker[DecoderServiceAsyncStub, DecoderInfo]"


class Decoding:
    """One request among the decoders.

    Args:
        pool: the decoders.
        request: what to make.
        preview_every_steps: as the client asked.
        checkpoint_every_steps: how much work may be lost with a decoder.
        time_remaining: seconds the request has left; None for no limit.

    Attributes:
        lost: receipts of the decoders that were lost.
        moves: how often the request went to another decoder.
    """

    def __init__(
        self,
        pool: DecoderPool,
        request: DecoderServiceImg2ImgRequest,
        preview_every_steps: int,
        checkpoint_every_steps: int,
        time_remaining: Callable[[], float | None],
    ) -> None:
        self.lost: list[Receipt] = []
        self._pool = pool
        self._request = request
        self._preview_every_steps = preview_every_steps
        self._checkpoint_every_steps = checkpoint_every_steps
        self._time_remaining = time_remaining
        self._journey: Journey[DecoderInfo] = Journey(lambda info: decoder_units(request.params, info))
        self._checkpoints: dict[int, LatentCheckpoint] = {}

    @property
    def moves(self) -> int:
        """How often the request went to another decoder."""
        return self._journey.moves

    async def events(self) -> AsyncGenerator[DecoderServiceStreamImg2ImgResponse, None]:
        """What the decoders tell, checkpoints left out; the result last.

        Raises:
            NoWorkerError: no decoder was there.
            WorkerLostError: the last one was lost.
            grpc.aio.AioRpcError: a decoder's own refusal.
        """
        for worker in self._pool.candidates(self._journey):
            async with aclosing(self._attempt(worker)) as events:
                async for event in events:
                    yield event
                    if event.HasField("result"):
                        return

    async def _attempt(self, worker: _Decoder) -> AsyncGenerator[DecoderServiceStreamImg2ImgResponse, None]:
        """What one decoder tells. Ends without a result when it is lost."""
        request = self._request_for(worker)
        attempt = Attempt(_use(worker), {each.image_index: each.steps_done for each in request.resume_from})
        result: DecoderServiceStreamImg2ImgResponse | None = None
        with self._pool.attempt(worker, self._journey) as sent:
            call = worker.stub.StreamImg2Img(request, timeout=self._time_remaining(), metadata=call_metadata())
            async with aclosing(worker.messages(call)) as messages:
                async for message in messages:
                    sent.arrived = self._journey.has_begun = True
                    if message.HasField("result"):
                        result = message  # told when the call has ended well
                    elif message.HasField("checkpoint"):
                        self._checkpoints[message.checkpoint.image_index] = message.checkpoint
                    else:
                        self._note(message, worker, attempt)
                        yield message
            if result is None:
                raise RuntimeError("the decoder's stream ended without a result")
        if result is None:
            self.lost.append(attempt.receipt())
            return
        if not request.resume_from:
            receipt = result.result.receipt
            fixed_seconds = receipt.encoding_seconds + receipt.decoding_seconds
            worker.learn(self._journey.units, receipt.denoising_seconds, fixed_seconds)
        yield result

    def _note(self, message: DecoderServiceStreamImg2ImgResponse, worker: _Decoder, attempt: Attempt) -> None:
        if message.HasField("progress"):
            attempt.note(message.progress)
            worker.progressed()

    def _request_for(self, worker: _Decoder) -> DecoderServiceStreamImg2ImgRequest:
        digest = None if worker.info is None else worker.info.model.digest
        return DecoderServiceStreamImg2ImgRequest(
            request=self._request,
            preview_every_steps=self._preview_every_steps,
            checkpoint_every_steps=self._checkpoint_every_steps,
            # Another model's latents are none of this one's; then the picture is begun anew.
            resume_from=[each for each in self._checkpoints.values() if each.model_digest == digest],
        )


def _use(worker: _Decoder) -> WorkerUse:
    return WorkerUse(
        tier=Tier.TIER_DECODER,
        worker=worker.address if worker.status is None else worker.status.worker,
        model_digest="" if worker.info is None else worker.info.model.digest,
    )
