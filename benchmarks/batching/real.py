"""Three ways to serve a trace on one real decoder. Each returns when each request was done, from the trace's start."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from benchmarks.alone import FEW_STEPS, MANY_STEPS, ROUNDS, Alone
from benchmarks.batching.trace import Arrival
from decoder_server.actions import DecoderActions, DecoderInput, DecoderState
from decoder_server.engine import DecoderEngine
from kandinsky.decoder_model import DecoderModel
from kandinsky.images import ResizeMode
from kandinsky.img2img import Img2ImgRequest
from serving.batching.work import Request, Shape, Stage
from serving.device_thread import DeviceThread

GUIDANCE_SCALE = 4.0


@dataclass(frozen=True)
class Decoder:
    """A loaded decoder on its thread.

    Attributes:
        model: the networks.
        actions: what the device does.
        device: its thread.
        sizes: batch sizes that are compiled.
    """

    model: DecoderModel
    actions: DecoderActions
    device: DeviceThread
    sizes: tuple[int, ...]


@dataclass
class Waits:
    """What the engine told of waiting when a request came, and what it was. Nobody else listens."""

    estimated_seconds: list[float] = field(default_factory=list)
    actual_seconds: list[float] = field(default_factory=list)

    def begun(self, stage: Stage) -> None:
        """Nobody is told."""

    def stepped(self, index: int, state: DecoderState) -> None:
        """Nobody is told."""


async def measure_alone(decoder: Decoder, shapes: Sequence[Shape]) -> Alone:
    """What requests take by themselves."""
    taken: dict[Shape, tuple[list[float], list[float]]] = {shape: ([], []) for shape in shapes}
    for _ in range(ROUNDS):
        for shape, rounds in taken.items():
            for steps, seconds in zip((FEW_STEPS, MANY_STEPS), rounds, strict=True):
                seconds += await one_at_a_time(decoder, [Arrival(0.0, shape, steps, 1.0, 0)])
    return Alone.from_rounds(taken)


async def one_at_a_time(decoder: Decoder, arrivals: Sequence[Arrival]) -> list[float]:
    """First come, first served, each request alone from beginning to end."""
    started, done = time.monotonic(), list[float]()
    for arrival in arrivals:
        await _until(started + arrival.seconds)
        await decoder.device.run(_whole, decoder, [arrival])
        done.append(time.monotonic() - started)
    return done


async def whole_requests(decoder: Decoder, arrivals: Sequence[Arrival], window_seconds: float) -> list[float]:
    """Dynamic batching as model servers do it.

    The first in line waits up to the window for others of its size; the batch runs until its longest request is done.
    """
    started, done = time.monotonic(), [0.0] * len(arrivals)
    left = list(range(len(arrivals)))
    while left:
        first = arrivals[left[0]]
        alike = [index for index in left if arrivals[index].shape == first.shape][: decoder.sizes[-1]]
        closes_seconds = first.seconds + window_seconds
        if len(alike) == decoder.sizes[-1]:
            closes_seconds = min(closes_seconds, arrivals[alike[-1]].seconds)
        await _until(started + closes_seconds)
        now_seconds = time.monotonic() - started
        batch = [index for index in alike if arrivals[index].seconds <= now_seconds]
        await decoder.device.run(_whole, decoder, [arrivals[index] for index in batch])
        for index in batch:
            done[index] = time.monotonic() - started
            left.remove(index)
    return done


async def step_level(decoder: Decoder, engine: DecoderEngine, arrivals: Sequence[Arrival], waits: Waits) -> list[float]:
    """The engine that the decoder serves with."""
    started = time.monotonic()

    async def serve(arrival: Arrival) -> float:
        await _until(started + arrival.seconds)
        item = Request(f"request {arrival.seed}", arrival.shape, 2, engine.now_seconds())
        with engine.job(item, input_of(decoder.model, arrival), [arrival.steps_run], waits) as job:
            estimated_seconds = engine.ahead(job).seconds
            await job.done
        if job.started_seconds is not None:
            waits.estimated_seconds.append(estimated_seconds)
            waits.actual_seconds.append(job.started_seconds - item.arrival_seconds)
        return time.monotonic() - started

    return await asyncio.gather(*map(serve, arrivals))


def input_of(model: DecoderModel, arrival: Arrival) -> DecoderInput:
    """The request of an arrival. What it says decides nothing here."""
    embeds = np.random.default_rng(arrival.seed).standard_normal((2, 1, model.embedding_dim)).astype(np.float32)
    request = Img2ImgRequest(
        prompt=f"picture {arrival.seed}",
        negative_prompt="",
        image_embeds=embeds[0],
        negative_image_embeds=embeds[1],
        width=arrival.shape.width_px,
        height=arrival.shape.height_px,
        steps=arrival.steps,
        strength=arrival.strength,
        guidance_scale=GUIDANCE_SCALE,
        seed=arrival.seed,
        num_images=1,
        scheduler=model.scheduler_type,
        resize_mode=ResizeMode.STRETCH,
    )
    return DecoderInput(request, Image.new("RGB", (arrival.shape.width_px, arrival.shape.height_px), "orange"))


def _whole(decoder: Decoder, arrivals: Sequence[Arrival]) -> None:
    """Requests of one size from beginning to end, in one batch that keeps its size until its longest is done."""
    states = [_encoded(decoder, arrival) for arrival in arrivals]
    size = min(size for size in decoder.sizes if size >= len(states))
    while any(not state.row.done for state in states):
        running = [place for place, state in enumerate(states) if not state.row.done]
        stepped = decoder.actions.step([states[place] for place in running], size)
        for place, state in zip(running, stepped, strict=True):
            states[place] = state
    for state in states:
        decoder.actions.decode(state)


def _encoded(decoder: Decoder, arrival: Arrival) -> DecoderState:
    (states,) = decoder.actions.encode([input_of(decoder.model, arrival)])
    if isinstance(states, Exception):
        raise states
    return states[0]


async def _until(monotonic_seconds: float) -> None:
    await asyncio.sleep(max(monotonic_seconds - time.monotonic(), 0.0))
