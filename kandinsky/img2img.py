"""An image-to-image request, from its values and a picture to rows, and from a finished row to a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from kandinsky.decoder_model import DecoderModel, DecoderTexts
from kandinsky.errors import InputError
from kandinsky.images import ResizeMode, fit_image, to_image, to_pixels
from kandinsky.noise import generators, standard_normal
from kandinsky.prior_sampling import check_guidance_scale
from kandinsky.rows import Conditioning, Row, finish_row, start_row
from kandinsky.schedulers.img2img import SchedulerType, add_noise, added_noise_timestep, decoder_schedule


@dataclass(frozen=True)
class Img2ImgRequest:
    """Everything a request says, defaults filled in. `kandinsky.pipeline.img2img` documents the values."""

    prompt: str
    negative_prompt: str
    image_embeds: npt.NDArray[np.float32]
    negative_image_embeds: npt.NDArray[np.float32]
    width: int
    height: int
    steps: int
    strength: float
    guidance_scale: float
    seed: int
    num_images: int
    scheduler: SchedulerType
    resize_mode: ResizeMode

    @property
    def guided(self) -> bool:
        """Whether the unconditional half is run."""
        return self.guidance_scale > 1.0


@dataclass(frozen=True)
class Started:
    """A request's rows before their first step, and what the text encoder did not see, by the field's name."""

    rows: tuple[Row, ...]
    truncated: dict[str, str]


def check_request(model: DecoderModel, request: Img2ImgRequest) -> None:
    """Refuse values that cannot be run, before any device work.

    Raises:
        InputError: names the field and what is allowed.
    """
    for field, value in (("width", request.width), ("height", request.height), ("num_images", request.num_images)):
        if value < 1:
            raise InputError(field, f"{value} is not 1 or more")
    check_guidance_scale("guidance_scale", request.guidance_scale)
    decoder_schedule(model.scheduler, request.scheduler, request.steps, request.strength)
    generators(request.seed, request.num_images)
    for field, embeds in (
        ("image_embeds", request.image_embeds),
        ("negative_image_embeds", request.negative_image_embeds),
    ):
        shapes = {(rows, model.embedding_dim) for rows in (1, request.num_images)}
        if embeds.shape not in shapes:
            allowed = " or ".join(str(shape) for shape in sorted(shapes))
            raise InputError(field, f"has shape {embeds.shape}; {allowed} is needed")
        if not np.isfinite(embeds).all():
            raise InputError(field, "holds NaN or infinity")


def texts_of(request: Img2ImgRequest) -> dict[str, str]:
    """The texts that a request's conditioning is made of, by the field's name, the negative one first."""
    fields = {"negative_prompt": request.negative_prompt} if request.guided else {}
    return {**fields, "prompt": request.prompt}


def start(
    model: DecoderModel, request: Img2ImgRequest, image: Image.Image, texts: Sequence[DecoderTexts] | None = None
) -> Started:
    """Encode texts and picture, add noise, and make a row for each image.

    Args:
        model: the decoder.
        request: the values; checked here.
        image: from `working_image`.
        texts: those of `texts_of`, each by itself, in their order, where they are encoded already.

    Raises:
        InputError: see `check_request`.
    """
    check_request(model, request)
    schedule = decoder_schedule(model.scheduler, request.scheduler, request.steps, request.strength)
    fields = texts_of(request)
    texts = [model.encode_texts([text]) for text in fields.values()] if texts is None else texts
    conditioning = _condition(model, request, texts)
    latents = model.encode_image(to_pixels(image))
    timestep = added_noise_timestep(model.scheduler, request.strength)
    rows = []
    for own, generator in zip(conditioning, generators(request.seed, request.num_images), strict=True):
        noised = add_noise(latents, standard_normal(generator, latents.shape), timestep)
        rows.append(start_row(noised, schedule, own, generator))
    truncated = {field: text.truncated[0] for field, text in zip(fields, texts, strict=True) if text.truncated[0]}
    return Started(tuple(rows), truncated)


def finish(model: DecoderModel, request: Img2ImgRequest, row: Row) -> Image.Image:
    """Decode a row that is done to a picture of exactly the asked size.

    Raises:
        NonFiniteError: the networks produced NaN or infinity.
    """
    return fit_image(to_image(finish_row(model, row)), request.width, request.height, ResizeMode.STRETCH)


def working_size_px(model: DecoderModel, width: int, height: int) -> tuple[int, int]:
    """The size the networks work at: the next multiples of the model's granularity."""
    unit = model.granularity_px
    return -(-width // unit) * unit, -(-height // unit) * unit


def working_image(model: DecoderModel, request: Img2ImgRequest, image: Image.Image) -> Image.Image:
    """The picture to start from, at the working size. Proportions are those of the asked size, to which it returns.

    Args:
        model: the decoder.
        request: the values; checked here.
        image: RGB, of any size.

    Raises:
        InputError: see `check_request`.
    """
    check_request(model, request)
    if request.resize_mode is not ResizeMode.STRETCH:
        image = fit_image(image, request.width, request.height, request.resize_mode)
    return fit_image(image, *working_size_px(model, request.width, request.height), ResizeMode.STRETCH)


def _condition(model: DecoderModel, request: Img2ImgRequest, texts: Sequence[DecoderTexts]) -> list[Conditioning]:
    """Each image's conditioning.

    One evaluation at a time: shapes, and so compiled graphs and roundings, do not depend on how many there are.
    """
    distinct = max(len(request.image_embeds), len(request.negative_image_embeds) if request.guided else 1)
    own = [_condition_image(model, request, texts, index) for index in range(distinct)]
    return own if distinct == request.num_images else own * request.num_images


def _condition_image(
    model: DecoderModel, request: Img2ImgRequest, texts: Sequence[DecoderTexts], index: int
) -> Conditioning:
    embeds = [request.negative_image_embeds, request.image_embeds] if request.guided else [request.image_embeds]
    # An array of one row serves all images.
    own = [each[index : index + 1] if len(each) > 1 else each for each in embeds]
    halves = tuple(model.condition(text, embed) for text, embed in zip(texts, own, strict=True))
    return Conditioning(halves, request.guidance_scale)
