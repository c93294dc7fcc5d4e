"""Both workers behind real servers on ports of the system's choosing, on a held device.

Real are the services, the interceptor, the engine with its planner, flights, news and results. Fake are the models, of
which only the settings are there that requests are checked against, and what the device does: it holds each action
until the test lets it go, and gives states and pictures that nothing was computed for.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
from PIL import Image

from decoder_server.actions import DecoderInput, DecoderState, Snapshot
from decoder_server.config import DecoderConfig
from decoder_server.service import DecoderService
from decoder_server.service import Serving as DecoderServing
from decoder_server.sizes import ServedSizes
from imagegen.v1 import decoder_pb2_grpc, prior_pb2_grpc
from imagegen.v1.common_pb2 import ImageEmbeddings, ModelInfo, Tier
from imagegen.v1.decoder_pb2 import DecoderServiceImg2ImgRequest, Img2ImgParams
from kandinsky.clip_image import ClipImageConfig, clip_pixels
from kandinsky.defaults import DecoderDefaults, PriorDefaults
from kandinsky.preview import PreviewProjection
from kandinsky.schedulers.config import SchedulerConfig
from kandinsky.schedulers.img2img import SchedulerType, decoder_schedule
from prior_server.actions import Embeddings, PriorInput
from prior_server.config import PriorConfig
from prior_server.engine import SHAPE
from prior_server.flights import Flights
from prior_server.service import PriorService
from prior_server.service import Serving as PriorServing
from serving.access import told_by_gateway
from serving.batching.limits import Limits
from serving.batching.work import Shape, Stage
from serving.device_thread import DeviceThread
from serving.metrics import WorkerMetrics
from serving.requests import RunningRequests
from serving.server import Application, Server
from serving.tensors import from_array
from tests.worker.held_device import Counted, HeldDevice
from worker.config import WorkerConfig
from worker.engine import Engine

DIM = 4
SIDE_PX = 64
STEP_SECONDS = 0.001
"""What every action takes by the engine's clock, in company or alone: so requests share whatever they can."""

DIGEST = "d"
DDIM = SchedulerConfig.from_dict({}, "DDIMScheduler")
# Far more than the windows of a connection hold.
SNAPSHOT = Snapshot(*[np.zeros((1, 4, 512, 512), np.float32)] * 2)


class FakeState:
    """A prior's row: whose it is, and how far."""

    def __init__(self, name: str, steps_done: int = 0) -> None:
        self.name = name
        self.steps_done = steps_done


class FakePriorActions(Counted):
    """Embeddings that hold their request's seed. A request is called by its prompt."""

    def encode(self, requests: Sequence[PriorInput]) -> list[list[Any] | Exception]:
        self.device.hold(Stage.ENCODE, [_prompt(request) for request in requests], len(requests))
        return [
            [FakeState(f"{_prompt(request)}/{place}/{request.values.seed}") for place in range(len(request.contents))]
            for request in requests
        ]

    def step(self, states: Sequence[Any], size: int) -> list[Any]:
        self.device.hold(Stage.STEP, [state.name for state in states], size)
        return [FakeState(state.name, state.steps_done + 1) for state in states]

    def decode(self, state: Any) -> Embeddings:
        self.device.hold(Stage.DECODE, [state.name])
        embedding = np.full((1, DIM), int(state.name.rpartition("/")[2]), np.float32)
        return embedding, -embedding


class FakeRow:
    """As much of a decoder's row as its news need."""

    def __init__(self, name: str, steps: int, steps_done: int = 0) -> None:
        self.name = name
        self.schedule = decoder_schedule(DDIM, SchedulerType.DDIM, steps, strength=1.0)
        self.steps_done = steps_done


class FakeDecoderActions(Counted):
    """Grey pictures. A request is called by its prompt."""

    def encode(self, requests: Sequence[DecoderInput]) -> list[list[DecoderState] | Exception]:
        self.device.hold(Stage.ENCODE, [origin.request.prompt for origin in requests], len(requests))
        return [
            [_decoder_state(origin, f"{origin.request.prompt}/{place}") for place in range(origin.request.num_images)]
            for origin in requests
        ]

    def step(self, states: Sequence[DecoderState], size: int) -> list[DecoderState]:
        rows: list[Any] = [state.row for state in states]
        self.device.hold(Stage.STEP, [row.name for row in rows], size)
        after: list[Any] = [FakeRow(row.name, len(row.schedule), row.steps_done + 1) for row in rows]
        return [
            replace(state, row=row, snapshot=SNAPSHOT if state.origin.snapshot_every_steps else None)
            for state, row in zip(states, after, strict=True)
        ]

    def decode(self, state: DecoderState) -> Image.Image:
        row: Any = state.row
        self.device.hold(Stage.DECODE, [row.name])
        return Image.new("RGB", (state.origin.request.width, state.origin.request.height), "grey")


@dataclass
class Worker:
    """A worker that serves.

    Attributes:
        device: holds its actions.
        engine: at work.
        running: its requests.
        metrics: what it counted.
        server: whose repr tells of open calls.
        stub: a client of it.
        address: for more clients.
    """

    device: HeldDevice
    engine: Any
    running: RunningRequests
    metrics: WorkerMetrics
    server: Server
    address: str
    channel: grpc.aio.Channel
    stub: Any

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"kandinsky_{name}", labels)


@asynccontextmanager
async def prior(**flags: Any) -> AsyncIterator[Worker]:
    """A prior worker; its texts are encoded, and its steps run, in batches of 1 and 2."""
    config, running = PriorConfig(model="fake", port=0, drain_seconds=0.0, **flags), RunningRequests()
    service = PriorService(config, running)
    model: Any = SimpleNamespace(
        defaults=PriorDefaults(),
        scheduler=SchedulerConfig.from_dict({}, "UnCLIPScheduler"),
        embedding_dim=DIM,
        image_pixels=partial(clip_pixels, config=ClipImageConfig()),
    )
    limits = Limits({(stage, SHAPE): (1, 2) for stage in (Stage.ENCODE, Stage.STEP)})
    add = partial(prior_pb2_grpc.add_PriorServiceServicer_to_server, service)

    def serve(engine: Any) -> None:
        service.start(PriorServing(model, ModelInfo(digest=DIGEST), engine, Flights(engine)))

    async with _served(config, running, limits, SHAPE, FakePriorActions, (Tier.TIER_PRIOR, add), serve) as worker:
        worker.stub = prior_pb2_grpc.PriorServiceStub(worker.channel)
        yield worker


@asynccontextmanager
async def decoder(**flags: Any) -> AsyncIterator[Worker]:
    """A decoder worker that works at one size, in batches of 1 and 2; others are compiled as they come."""
    config, running = DecoderConfig(model="fake", port=0, drain_seconds=0.0, **flags), RunningRequests()
    service = DecoderService(config, running)
    model: Any = SimpleNamespace(
        defaults=DecoderDefaults(),
        scheduler=DDIM,
        scheduler_type=SchedulerType.DDIM,
        embedding_dim=DIM,
        granularity_px=SIDE_PX,
        default_size_px=(SIDE_PX, SIDE_PX),
    )
    shape = Shape(SIDE_PX, SIDE_PX)
    limits = Limits({(Stage.STEP, shape): (1, 2)})
    projection = PreviewProjection(np.zeros((5, 3), np.float32))
    sizes = ServedSizes([shape], config.max_other_sizes)
    add = partial(decoder_pb2_grpc.add_DecoderServiceServicer_to_server, service)

    def serve(engine: Any) -> None:
        service.start(DecoderServing(model, ModelInfo(digest=DIGEST), engine, projection, sizes))

    async with _served(config, running, limits, shape, FakeDecoderActions, (Tier.TIER_DECODER, add), serve) as worker:
        worker.stub = decoder_pb2_grpc.DecoderServiceStub(worker.channel)
        yield worker


def picture_request(name: str, steps: int = 2, **params: Any) -> DecoderServiceImg2ImgRequest:
    """A request for a picture, whose id and prompt are its name."""
    picture = io.BytesIO()
    Image.new("RGB", (SIDE_PX, SIDE_PX)).save(picture, "PNG")
    embedding = from_array(np.zeros((1, DIM), np.float32))
    return DecoderServiceImg2ImgRequest(
        request_id=name,
        prompt=name,
        image=picture.getvalue(),
        embeddings=ImageEmbeddings(image_embeds=embedding, negative_image_embeds=embedding),
        params=Img2ImgParams(**{"num_inference_steps": steps, "strength": 1.0, "seed": 0} | params),
    )


@asynccontextmanager
async def _served(
    config: WorkerConfig,
    running: RunningRequests,
    limits: Limits,
    shape: Shape,
    actions: Callable[[HeldDevice], Any],
    service: tuple[Tier.ValueType, Callable[[grpc.aio.Server], None]],
    serve: Callable[[Any], None],
) -> AsyncIterator[Worker]:
    device, thread, metrics = HeldDevice(STEP_SECONDS), DeviceThread(), WorkerMetrics()
    device.clock.now_seconds = 1000.0  # as on a machine that has been up for a while
    engine: Any = Engine("worker-0", actions(device), thread, metrics, limits, config.max_queue_seconds, device.clock)
    for stage in Stage:
        for evaluations in (1, 2, 4):
            engine.curve = engine.curve.measured(stage, shape, evaluations, STEP_SECONDS)
    working: list[asyncio.Task[None]] = []

    async def start() -> None:
        serve(engine)
        working.append(asyncio.create_task(engine.run()))

    async def close() -> None:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        device.open()
        await thread.close()

    tier, add_to_server = service
    application = Application(
        tier=tier,
        service=f"imagegen.v1.{Tier.Name(tier).removeprefix('TIER_').title()}Service",
        running=running,
        add_to_server=add_to_server,
        warm_up=start,
        close=close,
        drain=engine.drain,
        metrics=metrics,
        tenant_of=told_by_gateway,
    )
    server = Server(application, config)
    address = await server.start()
    channel = grpc.aio.insecure_channel(address)
    try:
        await server.warm_up()
        yield Worker(device, engine, running, metrics, server, address, channel, None)
    finally:
        await channel.close()
        await server.stop()


def _prompt(request: PriorInput) -> str:
    return str(request.contents[0])


def _decoder_state(origin: DecoderInput, name: str) -> DecoderState:
    row: Any = FakeRow(name, origin.request.steps)
    return DecoderState(origin, row)
