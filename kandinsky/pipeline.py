"""Kandinsky 2.1 in one process: prompts to image embeddings, and pictures to pictures.

The yardstick for the servers, and the shortest way to use the models from Python. Reference: diffusers'
KandinskyPriorPipeline and KandinskyImg2ImgPipeline; what is mended here is told in docs/numerics.md.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from kandinsky.decoder_model import DecoderModel
from kandinsky.errors import InputError
from kandinsky.images import ResizeMode, upright_rgb
from kandinsky.img2img import Img2ImgRequest, finish, start, working_image
from kandinsky.noise import generators
from kandinsky.prior_model import PriorModel
from kandinsky.prior_sampling import PriorConditioning, condition_prior, finish_prior, start_prior, step_priors
from kandinsky.rows import step_rows
from kandinsky.schedulers.img2img import SchedulerType

_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ImageEmbeddings:
    """CLIP image embeddings, what the decoder is conditioned on.

    Attributes:
        image_embeds: (n, dim) float32.
        negative_image_embeds: (n, dim) float32, what guidance steers away from.
        truncated: the end of each text that the text encoder did not see, by the argument's name.
    """

    image_embeds: npt.NDArray[np.float32]
    negative_image_embeds: npt.NDArray[np.float32]
    truncated: dict[str, str]


def prior(
    model: PriorModel,
    prompt: str,
    *,
    seed: int,
    negative_prompt: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    num_embeddings: int = 1,
) -> ImageEmbeddings:
    """Turn a prompt into image embeddings.

    Args:
        model: a loaded prior.
        prompt: what the picture shall show; may be empty.
        seed: 0 … 2**64 - 1; embedding i uses seed + i.
        negative_prompt: what it shall not show. Without one the negative embedding is CLIP's of a picture of zeros.
        steps: prior steps, 2 or more; the checkpoint's default if None.
        guidance_scale: 0 or more; the checkpoint's default if None.
        num_embeddings: how many to make, 1 or more.

    Raises:
        InputError: an argument is out of range.
        NonFiniteError: the prior produced NaN or infinity.
    """
    if num_embeddings < 1:
        raise InputError("num_embeddings", f"{num_embeddings} is not 1 or more")
    steps = model.defaults.prior_num_inference_steps if steps is None else steps
    scale = model.defaults.prior_guidance_scale if guidance_scale is None else guidance_scale
    conditioning = condition_prior(model, prompt, negative_prompt, scale)
    made = [_sample(model, conditioning, steps, generator) for generator in generators(seed, num_embeddings)]
    embeds, negatives = zip(*made, strict=True)
    return ImageEmbeddings(np.concatenate(embeds), np.concatenate(negatives), conditioning.truncated)


def interpolate(
    model: PriorModel,
    items: Sequence[tuple[str | Image.Image, float]],
    *,
    seed: int,
    negative_prompt: str = "",
    negative_prior_prompt: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
) -> ImageEmbeddings:
    """Mix texts and pictures into one embedding.

    Args:
        model: a loaded prior.
        items: texts or pictures with their weights; the weights need not sum to 1.
        seed: 0 … 2**64 - 1; all texts draw from one generator, in their order, the negative prompt last.
        negative_prompt: its image embedding is the negative one; "" for the negative embedding of an empty prompt.
        negative_prior_prompt: the `negative_prompt` of `prior` for every text.
        steps: as for `prior`.
        guidance_scale: as for `prior`.

    Raises:
        InputError: an argument is out of range.
        NonFiniteError: a network produced NaN or infinity.
    """
    if not items:
        raise InputError("items", "is empty; give at least one text or image")
    for index, (_, weight) in enumerate(items):
        if not math.isfinite(weight):
            raise InputError(f"items[{index}].weight", f"{weight} is not a finite number")
    steps = model.defaults.prior_num_inference_steps if steps is None else steps
    scale = model.defaults.prior_guidance_scale if guidance_scale is None else guidance_scale
    (generator,) = generators(seed, 1)
    truncated: dict[str, str] = {}

    def encode(text: str, field: str) -> tuple[_Floats, _Floats]:
        conditioning = condition_prior(model, text, negative_prior_prompt, scale)
        names = {"prompt": field, "negative_prompt": "negative_prior_prompt"}
        truncated.update({names[own]: cut for own, cut in conditioning.truncated.items()})
        return _sample(model, conditioning, steps, generator)

    mix = np.zeros((1, model.embedding_dim), np.float32)
    for index, (item, weight) in enumerate(items):
        if isinstance(item, str):
            embed, _ = encode(item, f"items[{index}]")
        else:
            embed = model.encode_image(model.image_pixels(upright_rgb(item)))
        mix = mix + embed * np.float32(weight)
    positive, negative = encode(negative_prompt, "negative_prompt")
    return ImageEmbeddings(mix, negative if negative_prompt == "" else positive, truncated)


def img2img(
    model: DecoderModel,
    image: Image.Image,
    embeddings: ImageEmbeddings,
    prompt: str,
    *,
    seed: int,
    negative_prompt: str = "",
    width: int | None = None,
    height: int | None = None,
    steps: int | None = None,
    strength: float | None = None,
    guidance_scale: float | None = None,
    num_images: int = 1,
    scheduler: SchedulerType | None = None,
    resize_mode: ResizeMode = ResizeMode.STRETCH,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Image.Image]:
    """Turn a picture into others that follow a prompt.

    Args:
        model: a loaded decoder.
        image: the picture to start from; its EXIF orientation is applied.
        embeddings: of the prompt, from `prior` or `interpolate`; one, or one for each image.
        prompt: for the decoder's own, multilingual text encoder.
        seed: 0 … 2**64 - 1; image i uses seed + i.
        negative_prompt: what the pictures shall not show.
        width: of the results, in pixels; the model's own if None.
        height: likewise.
        steps: length of the schedule, of which the last int(steps · strength) are run.
        strength: how far to move from the picture, 0.002 … 1.
        guidance_scale: 0 or more; at 1 and below the unconditional half is not run.
        num_images: how many to make; all are advanced together.
        scheduler: the sampling method; the checkpoint's own if None.
        resize_mode: how the picture is brought to the size.
        on_step: called after each step with steps done and steps in all.

    Returns:
        num_images pictures of exactly width × height pixels.

    Raises:
        InputError: an argument is out of range; the text names it and what is allowed.
        NonFiniteError: a network produced NaN or infinity.
    """
    defaults = model.defaults
    own_width, own_height = model.default_size_px
    request = Img2ImgRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        image_embeds=embeddings.image_embeds,
        negative_image_embeds=embeddings.negative_image_embeds,
        width=own_width if width is None else width,
        height=own_height if height is None else height,
        steps=defaults.num_inference_steps if steps is None else steps,
        strength=defaults.strength if strength is None else strength,
        guidance_scale=defaults.guidance_scale if guidance_scale is None else guidance_scale,
        seed=seed,
        num_images=num_images,
        scheduler=model.scheduler_type if scheduler is None else scheduler,
        resize_mode=resize_mode,
    )
    started = start(model, request, working_image(model, request, upright_rgb(image)))
    rows = list(started.rows)
    while not rows[0].done:
        rows = step_rows(model, rows)
        if on_step is not None:
            on_step(rows[0].steps_done, len(rows[0].schedule))
    return [finish(model, request, row) for row in rows]


def _sample(
    model: PriorModel, conditioning: PriorConditioning, steps: int, generator: np.random.Generator
) -> tuple[_Floats, _Floats]:
    """An embedding and its negative, each (1, dim)."""
    job = start_prior(model, conditioning, steps, generator)
    while not job.done:
        (job,) = step_priors(model, [job])
    return finish_prior(model, job)
