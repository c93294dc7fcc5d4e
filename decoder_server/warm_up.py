"""Compiling before the server is ready: requests of the model's own size through the engine, guided and not."""

import numpy as np
from PIL import Image

from decoder_server.actions import DecoderInput, DecoderState
from decoder_server.engine import DecoderEngine
from kandinsky.decoder_model import DecoderModel
from kandinsky.images import ResizeMode
from kandinsky.img2img import Img2ImgRequest, working_size_px
from serving.batching.work import Request, Shape, Stage

# The first run of a shape compiles, the second is measured.
_STEPS = 2


class _Nobody:
    """Listens to a request that nobody asked for."""

    def begun(self, stage: Stage) -> None:
        """Nobody is told."""

    def stepped(self, index: int, state: DecoderState) -> None:
        """Nobody is told."""


async def warm_up(engine: DecoderEngine, model: DecoderModel) -> None:
    """Run the default size twice with and twice without guidance; afterwards the engine's curve is measured."""
    for guidance_scale in (0.0, 2.0):
        for number in range(2):
            request = _request(model, guidance_scale)
            shape = Shape(*working_size_px(model, request.width, request.height))
            name, evaluations = f"warm-up {guidance_scale} {number}", 2 if request.guided else 1
            item = Request(name, shape, evaluations, engine.now_seconds())
            origin = DecoderInput(request, Image.new("RGB", (request.width, request.height), "grey"))
            with engine.job(item, origin, [_STEPS], _Nobody()) as job:
                await job.done


def _request(model: DecoderModel, guidance_scale: float) -> Img2ImgRequest:
    width, height = model.default_size_px
    return Img2ImgRequest(
        prompt="",
        negative_prompt="",
        image_embeds=np.zeros((1, model.embedding_dim), np.float32),
        negative_image_embeds=np.zeros((1, model.embedding_dim), np.float32),
        width=width,
        height=height,
        steps=_STEPS,
        strength=1.0,
        guidance_scale=guidance_scale,
        seed=0,
        num_images=1,
        scheduler=model.scheduler_type,
        resize_mode=ResizeMode.STRETCH,
    )
