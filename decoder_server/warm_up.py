"""Compiling and measuring before the server is ready: every compiled size, guided and not, in every batch."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from decoder_server.actions import DecoderActions, DecoderInput, DecoderState
from decoder_server.engine import DecoderEngine
from kandinsky.decoder_model import DecoderModel
from kandinsky.images import ResizeMode
from kandinsky.img2img import Img2ImgRequest
from kandinsky.rows import Conditioning
from serving.batching.work import Kind, Shape, Stage
from worker.calibration import staying_together

_STEPS = 2


async def warm_up(
    engine: DecoderEngine,
    actions: DecoderActions,
    model: DecoderModel,
    shapes: Sequence[Shape],
    sizes: Sequence[int],
) -> None:
    """Afterwards the engine's curve is measured for these shapes and batch sizes."""
    for shape in shapes:
        # Under guidance, which of the two takes longer, to plan with.
        guided = await engine.calibrate(Kind(Stage.ENCODE, shape, 1), 1, partial(_state, actions, _input(model, shape)))
        for state, evaluations in ((_unguided(guided), 1), (guided, 2)):
            for size in sizes:
                step = staying_together(actions.step, state, size)
                await engine.calibrate(Kind(Stage.STEP, shape, evaluations), size, step)
        await engine.calibrate(Kind(Stage.DECODE, shape, 1), 1, partial(actions.decode, guided))


def _state(actions: DecoderActions, origin: DecoderInput) -> DecoderState:
    (states,) = actions.encode([origin])
    if isinstance(states, Exception):
        raise states
    return states[0]


def _unguided(state: DecoderState) -> DecoderState:
    """The same row without guidance; not encoded again, which takes seconds at full size."""
    conditioning = Conditioning(state.row.conditioning.halves[-1:], 0.0)
    return replace(state, row=replace(state.row, conditioning=conditioning))


def _input(model: DecoderModel, shape: Shape) -> DecoderInput:
    request = Img2ImgRequest(
        prompt="",
        negative_prompt="",
        image_embeds=np.zeros((1, model.embedding_dim), np.float32),
        negative_image_embeds=np.zeros((1, model.embedding_dim), np.float32),
        width=shape.width_px,
        height=shape.height_px,
        steps=_STEPS,
        strength=1.0,
        guidance_scale=2.0,
        seed=0,
        num_images=1,
        scheduler=model.scheduler_type,
        resize_mode=ResizeMode.STRETCH,
    )
    return DecoderInput(request, Image.new("RGB", (shape.width_px, shape.height_px), "grey"))
