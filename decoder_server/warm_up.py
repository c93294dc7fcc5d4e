"""Compiling and measuring before the server is ready: every compiled size, guided and not, in every batch."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from PIL import Image

from decoder_server.actions import DecoderActions, DecoderInput, DecoderState
from decoder_server.engine import DecoderEngine
from kandinsky.decoder_model import DecoderModel
from kandinsky.images import ResizeMode
from kandinsky.img2img import Img2ImgRequest
from serving.batching.work import Kind, Shape, Stage
from serving.device_thread import DeviceThread
from worker.calibration import staying_together

_STEPS = 2


async def warm_up(
    engine: DecoderEngine,
    actions: DecoderActions,
    device: DeviceThread,
    model: DecoderModel,
    shapes: Sequence[Shape],
    sizes: Sequence[int],
) -> None:
    """Afterwards the engine's curve is measured for these shapes and batch sizes."""
    for shape in shapes:
        guided = _input(model, shape, 2.0)
        # Of the two the one that takes longer, to plan with.
        await engine.calibrate(Kind(Stage.ENCODE, shape, 1), 1, partial(_state, actions, guided))
        for origin, evaluations in ((_input(model, shape, 0.0), 1), (guided, 2)):
            state = await device.run(_state, actions, origin)
            for size in sizes:
                step = staying_together(actions.step, state, size)
                await engine.calibrate(Kind(Stage.STEP, shape, evaluations), size, step)
        await engine.calibrate(Kind(Stage.DECODE, shape, 1), 1, partial(actions.decode, state))


def _state(actions: DecoderActions, origin: DecoderInput) -> DecoderState:
    (states,) = actions.encode([origin])
    if isinstance(states, Exception):
        raise states
    return states[0]


def _input(model: DecoderModel, shape: Shape, guidance_scale: float) -> DecoderInput:
    request = Img2ImgRequest(
        prompt="",
        negative_prompt="",
        image_embeds=np.zeros((1, model.embedding_dim), np.float32),
        negative_image_embeds=np.zeros((1, model.embedding_dim), np.float32),
        width=shape.width_px,
        height=shape.height_px,
        steps=_STEPS,
        strength=1.0,
        guidance_scale=guidance_scale,
        seed=0,
        num_images=1,
        scheduler=model.scheduler_type,
        resize_mode=ResizeMode.STRETCH,
    )
    return DecoderInput(request, Image.new("RGB", (shape.width_px, shape.height_px), "grey"))
