"""Compiling before the server is ready: one request of the model's own size, guided and not, measured."""

import numpy as np
from PIL import Image

from decoder_server.runner import Runner
from kandinsky.images import ResizeMode
from kandinsky.img2img import Img2ImgRequest

# The first step compiles, the second is measured.
_STEPS = 2


async def warm_up(runner: Runner) -> None:
    """Run a request of the default size once with and once without guidance."""
    model = runner.model
    width, height = model.default_size_px
    image = Image.new("RGB", (width, height), "grey")
    for guidance_scale in (0.0, 2.0):
        request = Img2ImgRequest(
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
        row = (await runner.start(request, image)).rows[0]
        while not row.done:
            row = await runner.step(request, row)
        await runner.finish(request, row)
