# ruff: noqa: N802, ARG002 - the names and signatures are gRPC's
"""Fake workers that answer at once, or stop at a chosen place until they are cancelled; and a gateway before them.

They run in the test's event loop behind real gRPC servers on ports of the system's choosing.
"""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from gateway.__main__ import build
from gateway.config import GatewayConfig
from imagegen.v1 import common_pb2, decoder_pb2, decoder_pb2_grpc, gateway_pb2_grpc, prior_pb2, prior_pb2_grpc
from imagegen.v1.common_pb2 import Tier
from serving.config import ServerConfig
from serving.requests import RunningRequests
from serving.server import Application, Server
from serving.tokens import hashed, new_token

Metadata: TypeAlias = tuple[tuple[str, str], ...]

DIM = 4
STEPS = 2


class FakeWorker:
    """What both fakes do.

    Attributes:
        requests: what came in.
        remaining_seconds: the deadline the last request came with.
        hold_at: name of the place where the next request waits until `release`.
        error: what the next request is refused with.
        reached: set when a request has come to the place.
        stopped: set when a waiting request was cancelled.
        metadata: what the last request came with.
        status: what those who watch are told; `report` changes it.
        asked: how often it was asked what it is.
        buckets: what it has measured; told to gateways that ask from then on.
    """

    def __init__(self, name: str = "") -> None:
        self.requests: list[Any] = []
        self.remaining_seconds: float | None = None
        self.hold_at: str | None = None
        self.error: Exception | None = None
        self.reached = asyncio.Event()
        self.stopped = asyncio.Event()
        self.running = RunningRequests()
        self.metadata: dict[str, Any] = {}
        self._released = asyncio.Event()
        self._error_of_the_released: Exception | None = None
        self.status = common_pb2.WorkerStatus(worker=name)
        self._changed = asyncio.Event()
        self._watches = 0
        self.asked = 0
        self.buckets: list[common_pb2.Bucket] = []

    def report(self, **status: Any) -> None:
        """Tells those who watch."""
        self.status = common_pb2.WorkerStatus(worker=self.status.worker, **status)
        self._changed.set()
        self._changed = asyncio.Event()

    def drain(self) -> None:
        self.report(draining=True)

    def hang_up(self) -> None:
        """Ends the streams of those who watch."""
        self._watches += 1
        self.report()

    async def statuses(self) -> AsyncGenerator[common_pb2.WorkerStatus, None]:
        watch = self._watches
        while watch == self._watches:
            changed = self._changed
            yield self.status
            await changed.wait()

    def arrive(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.remaining_seconds = context.time_remaining()
        self.metadata = dict(context.invocation_metadata())
        if self.error is not None:
            raise self.error

    async def hold(self, place: str) -> None:
        if place == self.hold_at:
            self.reached.set()
            with self.noting_the_end():
                await self._released.wait()
            if self._error_of_the_released is not None:
                raise self._error_of_the_released

    def release(self, error: Exception | None = None) -> None:
        """Lets the waiting request go on, or fail; later ones do not wait."""
        self.hold_at = None
        self._error_of_the_released = error
        self._released.set()

    @contextmanager
    def noting_the_end(self) -> Iterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            self.stopped.set()
            raise

    async def nothing(self) -> None:
        """Neither warms up nor closes."""


class FakePrior(FakeWorker, prior_pb2_grpc.PriorServiceServicer):
    """Its embeddings are all ones. By what it has measured, one takes no time worth mentioning."""

    tier = Tier.TIER_PRIOR
    service = "imagegen.v1.PriorService"
    add = staticmethod(prior_pb2_grpc.add_PriorServiceServicer_to_server)
    digest = "p"
    receipt = common_pb2.Receipt(
        queued_seconds=1,
        encoding_seconds=2,
        prior_steps=25,
        steps_by_batch_size={1: 25},
        workers=[common_pb2.WorkerUse(tier=tier, worker="prior-0", model_digest="p")],
        truncations=[common_pb2.Truncation(tier=tier, field="prompt", removed_text="end")],
        retries=1,
    )

    def __init__(self, name: str = "", step_seconds: float = 1e-6) -> None:
        super().__init__(name)
        self.buckets = [common_pb2.Bucket(rows=1, step_seconds=step_seconds)]

    async def EncodePrompt(self, request: Any, context: Any) -> prior_pb2.PriorServiceEncodePromptResponse:
        self.arrive(request, context)
        await self.hold("encoding")
        return prior_pb2.PriorServiceEncodePromptResponse(
            request_id=request.request_id,
            embeddings=embeddings(request.num_embeddings, self.digest),
            seed=request.params.seed,
            receipt=self.receipt,
        )

    async def Interpolate(self, request: Any, context: Any) -> prior_pb2.PriorServiceInterpolateResponse:
        self.arrive(request, context)
        return prior_pb2.PriorServiceInterpolateResponse(
            request_id=request.request_id, embeddings=embeddings(1), seed=request.params.seed, receipt=self.receipt
        )

    async def GetModel(self, request: Any, context: Any) -> prior_pb2.PriorServiceGetModelResponse:
        model = common_pb2.ModelInfo(id="fake-prior", embedding_dim=DIM, digest="p")
        self.asked += 1
        defaults = prior_pb2.PriorParams(num_inference_steps=25, guidance_scale=4)
        limits = prior_pb2.PriorLimits(max_num_inference_steps=1000, max_num_embeddings=8, max_items=16)
        info = prior_pb2.PriorInfo(model=model, defaults=defaults, limits=limits, buckets=self.buckets)
        return prior_pb2.PriorServiceGetModelResponse(prior=info)

    async def WatchStatus(
        self, request: Any, context: Any
    ) -> AsyncGenerator[prior_pb2.PriorServiceWatchStatusResponse, None]:
        async for status in self.statuses():
            yield prior_pb2.PriorServiceWatchStatusResponse(status=status)


class FakeDecoder(FakeWorker, decoder_pb2_grpc.DecoderServiceServicer):
    """Its picture is the picture it was sent, backwards."""

    tier = Tier.TIER_DECODER
    service = "imagegen.v1.DecoderService"
    add = staticmethod(decoder_pb2_grpc.add_DecoderServiceServicer_to_server)
    receipt = common_pb2.Receipt(
        queued_seconds=10,
        encoding_seconds=20,
        denoising_seconds=30,
        decoding_seconds=40,
        denoising_steps=2,
        steps_by_batch_size={1: 2},
        workers=[common_pb2.WorkerUse(tier=tier, worker="decoder-0", model_digest="d")],
        truncations=[common_pb2.Truncation(tier=tier, field="prompt", removed_text="tail")],
        retries=2,
    )

    async def StreamImg2Img(
        self, request: Any, context: Any
    ) -> AsyncGenerator[decoder_pb2.DecoderServiceStreamImg2ImgResponse, None]:
        self.arrive(request, context)
        event = decoder_pb2.DecoderServiceStreamImg2ImgResponse
        job = request.request
        await self.hold("arrival")
        yield event(queued=common_pb2.Queued(request_id=job.request_id, tier=self.tier, position=3))
        await self.hold("queue")
        done = max((checkpoint.steps_done for checkpoint in request.resume_from), default=0)
        for step in range(done + 1, STEPS + 1):
            yield event(progress=decoder_pb2.Progress(step=step, total_steps=STEPS))
            yield event(checkpoint=decoder_pb2.LatentCheckpoint(steps_done=step, model_digest="d"))
            await self.hold("denoising" if step < STEPS else "decoding")
        image = decoder_pb2.EncodedImage(data=job.image[::-1])
        result = decoder_pb2.Img2ImgResult(
            request_id=job.request_id, images=[image], seed=job.params.seed, receipt=self.receipt
        )
        yield event(result=result)

    async def GetModel(self, request: Any, context: Any) -> decoder_pb2.DecoderServiceGetModelResponse:
        model = common_pb2.ModelInfo(id="fake-decoder", embedding_dim=DIM, digest="d")
        self.asked += 1
        limits = decoder_pb2.Img2ImgLimits(max_num_inference_steps=1000, max_num_images=8, max_pixels=2**20)
        info = decoder_pb2.DecoderInfo(model=model, buckets=self.buckets, limits=limits)
        return decoder_pb2.DecoderServiceGetModelResponse(decoder=info)

    async def WatchStatus(
        self, request: Any, context: Any
    ) -> AsyncGenerator[decoder_pb2.DecoderServiceWatchStatusResponse, None]:
        async for status in self.statuses():
            yield decoder_pb2.DecoderServiceWatchStatusResponse(status=status)


class Deployment:
    """A gateway with its fakes, and a client that knows nothing but the stubs."""

    def __init__(self, prior: FakePrior, decoder: FakeDecoder, gateway: "RunningServer") -> None:
        self.prior = prior
        self.decoder = decoder
        self.gateway = gateway
        self.stub: Any = gateway_pb2_grpc.ImageServiceStub(gateway.channel)


class RunningServer:
    """A ready server, its address and a channel to it."""

    def __init__(self, server: Server, application: Application, address: str) -> None:
        self.server = server
        self.running = application.running
        self.address = address
        self.channel = grpc.aio.insecure_channel(address)


@asynccontextmanager
async def serve(application: Application, *, ready: bool = True, **config: Any) -> AsyncIterator[RunningServer]:
    server = Server(application, ServerConfig(**{"drain_seconds": 0.0} | config))
    running = RunningServer(server, application, await server.start())
    try:
        if ready:
            await server.warm_up()
        yield running
    finally:
        await running.channel.close()
        await server.stop()


def fake(worker: FakePrior | FakeDecoder) -> Application:
    return Application(
        tier=worker.tier,
        service=worker.service,
        running=worker.running,
        add_to_server=partial(worker.add, worker),
        warm_up=worker.nothing,
        close=worker.nothing,
        drain=worker.drain,
    )


def gateway(prior: Sequence[str], decoder: Sequence[str], **config: Any) -> Application:
    """A gateway; its cache is off unless a test asks for it, so that each request reaches the workers."""
    return build(GatewayConfig(prior=tuple(prior), decoder=tuple(decoder), **{"cache_bytes": 0} | config))


@asynccontextmanager
async def deploy(prior: FakePrior | None = None, **config: Any) -> AsyncIterator[Deployment]:
    limits = {name: value for name, value in config.items() if name == "max_message_bytes"}
    prior, decoder = FakePrior() if prior is None else prior, FakeDecoder()
    async with (
        serve(fake(prior)) as prior_server,
        serve(fake(decoder)) as decoder_server,
        serve(gateway([prior_server.address], [decoder_server.address], **config), **limits) as gateway_server,
    ):
        yield Deployment(prior, decoder, gateway_server)


def with_tenants(folder: Path, **tenants: Mapping[str, Any]) -> tuple[Path, dict[str, Metadata]]:
    """The file of these tenants with what each of them may, and the metadata that each calls with."""
    tokens = {name: new_token() for name in tenants}
    entries = {name: {"tokens": [hashed(tokens[name])], **fields} for name, fields in tenants.items()}
    file = folder / "tokens.json"
    file.write_text(json.dumps({"tenants": entries}))
    return file, {name: (("authorization", f"Bearer {token}"),) for name, token in tokens.items()}


def embeddings(count: int, digest: str = "p") -> common_pb2.ImageEmbeddings:
    """Ones, as little-endian float32."""
    tensor = common_pb2.Tensor(
        dtype=common_pb2.DataType.DATA_TYPE_FLOAT32, shape=[count, DIM], data=b"\0\0\x80\x3f" * count * DIM
    )
    return common_pb2.ImageEmbeddings(image_embeds=tensor, negative_image_embeds=tensor, prior_digest=digest)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what no event tells."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what only asking tells."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def unreachable_address() -> str:
    """An address nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
