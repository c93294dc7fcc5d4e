"""The batch law in the engine: a picture is the same alone, in company, when it joins late, and when it is resumed."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from decoder_server.actions import DecoderActions, DecoderInput, DecoderState, Resumption
from decoder_server.engine import DecoderEngine, shape_of, steps_left
from kandinsky.decoder_model import DecoderModel
from kandinsky.images import ResizeMode
from kandinsky.img2img import Img2ImgRequest, working_image
from kandinsky.schedulers.img2img import SchedulerType
from serving.batching.limits import Limits
from serving.batching.work import Request, Shape, Stage
from serving.device_thread import DeviceThread
from serving.metrics import WorkerMetrics
from worker.engine import Engine

# What the decoder's latents may differ by, of their largest magnitude: a tenth of what is allowed against diffusers.
TOLERANCE = 1e-4

# Two rows, and three, are filled up to four.
SIZES = (1, 4)


@dataclass
class Watched:
    """How far a request is."""

    steps: asyncio.Event = field(default_factory=asyncio.Event)
    resumption: Resumption | None = None

    def begun(self, stage: Stage) -> None:
        """Not asked for."""

    def stepped(self, index: int, state: DecoderState) -> None:  # noqa: ARG002 - one image's is enough
        """Keeps the last snapshot but that of the end."""
        self.steps.set()
        if state.snapshot is not None and not state.row.done:
            self.resumption = Resumption(state.row.steps_done, state.snapshot.latents, state.snapshot.x0)


@dataclass(frozen=True)
class Made:
    """What became of a request."""

    latents: npt.NDArray[np.float32]
    picture: Image.Image
    batches: dict[int, int]
    resumption: Resumption | None


Serve = Callable[[DecoderInput, Watched], Awaitable[Made]]


def mix(model: DecoderModel, chance: int, count: int) -> list[DecoderInput]:
    """Random requests of two sizes."""
    rng = np.random.default_rng(chance)
    return [_request(model, rng, number) for number in range(count)]


def _request(model: DecoderModel, rng: np.random.Generator, seed: int) -> DecoderInput:
    steps = int(rng.integers(4, 20))
    side = model.granularity_px * int(rng.choice([1, 1, 2]))
    embeds = rng.standard_normal((2, 1, model.embedding_dim)).astype(np.float32)
    request = Img2ImgRequest(
        prompt=str(rng.choice(["a red circle on a blue background", "синий квадрат", ""])),
        negative_prompt=str(rng.choice(["", "blurry"])),
        image_embeds=embeds[0],
        negative_image_embeds=embeds[1],
        width=side,
        height=model.granularity_px,
        steps=steps,
        strength=min((int(rng.integers(3, 6)) + 0.5) / steps, 1.0),
        guidance_scale=float(rng.choice([0.0, 1.5, 4.0, 7.0])),
        seed=seed,
        num_images=int(rng.integers(1, 3)),
        scheduler=list(SchedulerType)[rng.integers(len(SchedulerType))],
        resize_mode=ResizeMode.STRETCH,
    )
    picture = Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8))
    return DecoderInput(request, working_image(model, request, picture), snapshot_every_steps=(2,))


def in_an_engine(
    model: DecoderModel, body: Callable[[Serve], Awaitable[list[Made]]], sizes: tuple[int, ...] = SIZES
) -> list[Made]:
    """What the body's requests become in an engine for which company costs nothing, so that it merges what it may."""

    async def run() -> list[Made]:
        device = DeviceThread()
        ticks = itertools.count()
        engine: DecoderEngine = Engine(
            "test",
            DecoderActions(model, text_cache_bytes=1 << 20),
            device,
            WorkerMetrics(),
            Limits({(Stage.STEP, shape): sizes for shape in _shapes(model)}),
            max_queue_seconds=1e9,
            clock=lambda: float(next(ticks)),  # every action takes as long
        )
        for shape, size, evaluations in itertools.product(_shapes(model), sizes, (1, 2)):
            engine.curve = engine.curve.measured(Stage.STEP, shape, size * evaluations, 1.0)
        working = asyncio.create_task(engine.run())
        numbers = itertools.count()

        async def serve(origin: DecoderInput, watched: Watched) -> Made:
            shape = shape_of(origin.request, model)
            guided = 2 if origin.request.guided else 1
            item = Request(f"request {next(numbers)}", shape, guided, engine.now_seconds())
            with engine.job(item, origin, steps_left(origin), watched) as job:
                await job.done
            latents = job.states[0].row.latents.asnumpy()
            return Made(latents, job.outputs[0], job.steps_by_batch_size, watched.resumption)

        try:
            return await body(serve)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await device.close()

    return asyncio.run(run())


def _shapes(model: DecoderModel) -> list[Shape]:
    side = model.granularity_px
    return [Shape(side, side), Shape(2 * side, side)]


async def _alone(serve: Serve, origins: list[DecoderInput]) -> list[Made]:
    return [await serve(origin, Watched()) for origin in origins]


async def _together(serve: Serve, origins: list[DecoderInput]) -> list[Made]:
    return await asyncio.gather(*(serve(origin, Watched()) for origin in origins))


async def _one_after_another(serve: Serve, origins: list[DecoderInput]) -> list[Made]:
    """Each comes when the one before it has been stepped."""
    running, watched = [], Watched()
    watched.steps.set()
    for origin in origins:
        await watched.steps.wait()
        watched = Watched()
        running.append(asyncio.create_task(serve(origin, watched)))  # type: ignore[arg-type]  # it is a coroutine
    return await asyncio.gather(*running)


def check_same(results: list[Made], expected: list[Made]) -> None:
    """Latents elementwise, and pictures as the parity with diffusers is asked of them."""
    for result, alone in zip(results, expected, strict=True):
        difference = np.abs(result.latents - alone.latents).max()
        assert difference <= TOLERANCE * np.abs(alone.latents).max()
        levels = np.abs(np.asarray(result.picture, np.int16) - np.asarray(alone.picture, np.int16))
        assert levels.max() <= 2
        assert levels.mean() <= 0.1


@pytest.mark.parametrize(("decoder", "chance"), [("demo", 0), ("reference", 0), ("reference", 1)], indirect=["decoder"])
def test_pictures_are_the_same_alone_in_company_and_joined_late(decoder: DecoderModel, chance: int) -> None:
    origins = mix(decoder, chance, 4)
    alone = in_an_engine(decoder, lambda serve: _alone(serve, origins), sizes=(1,))
    for company in (_together, _one_after_another):
        results = in_an_engine(decoder, partial(company, origins=origins))
        assert any(size > 1 for made in results for size in made.batches), "nothing was merged"
        check_same(results, alone)


def test_pictures_are_the_same_when_they_are_taken_up_in_the_middle_in_company(decoder: DecoderModel) -> None:
    origins = [_one_image(origin) for origin in mix(decoder, 7, 3)]
    whole = in_an_engine(decoder, lambda serve: _alone(serve, origins), sizes=(1,))
    resumed = [
        replace(origin, resume_from={} if made.resumption is None else {0: made.resumption})
        for origin, made in zip(origins, whole, strict=True)
    ]
    assert all(origin.resume_from for origin in resumed)
    results = in_an_engine(decoder, lambda serve: _together(serve, resumed))
    assert sum(sum(made.batches.values()) for made in results) < sum(sum(made.batches.values()) for made in whole)
    check_same(results, whole)


def _one_image(origin: DecoderInput) -> DecoderInput:
    return replace(origin, request=replace(origin.request, num_images=1))
