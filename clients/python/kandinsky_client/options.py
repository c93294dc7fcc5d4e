"""The keyword arguments of the calls. What is left out, or None, takes the server's default; 0 is a value."""

from typing import Literal, TypedDict

from kandinsky_client.embeddings import Embeddings

Scheduler = Literal["ddim", "ddpm", "dpm_solver_pp_2m"]
ResizeMode = Literal["stretch", "fit", "crop"]
ImageFormat = Literal["png", "jpeg", "webp"]
Priority = Literal["high", "normal", "low"]


class CallOptions(TypedDict, total=False):
    """What every call that needs a device takes."""

    request_id: str | None
    """Names the request in the server's log and for `cancel`; the server draws one where it is left out."""
    priority: Priority | None
    """Whose turn it is among one's own requests."""
    timeout_seconds: float | None
    """How long the call may take in all, retries included. Left out: the client's own timeout."""


class Img2ImgOptions(CallOptions, total=False):
    """What `img2img` and `stream_img2img` take besides the picture and the prompt."""

    negative_prompt: str | None
    """What the picture shall not show. "" counts as one: the prior is then guided away from an empty prompt."""
    width: int | None
    """Width of the result in pixels."""
    height: int | None
    """Height of the result in pixels."""
    num_inference_steps: int | None
    """Length of the schedule, of which the last int(num_inference_steps × strength) steps are run."""
    strength: float | None
    """How far the result may move from the picture, from 0.002 to 1."""
    guidance_scale: float | None
    """How closely the decoder follows the prompt; at 1 and below it runs without guidance."""
    seed: int | None
    """Seed of the noise, 0 or more; image i uses seed + i. Left out: the server draws one and the result tells it."""
    num_images: int | None
    """How many images to make."""
    scheduler: Scheduler | None
    """The sampling method."""
    resize_mode: ResizeMode | None
    """How the picture is fitted to width × height: stretched, fitted inside, or cropped."""
    output_format: ImageFormat | None
    """File format in which the images travel."""
    prior_num_inference_steps: int | None
    """Steps of the prior."""
    prior_guidance_scale: float | None
    """How closely the prior follows the prompt."""
    prior_seed: int | None
    """Seed of the embedding that all images then share. Left out: each image has the embedding of its own seed."""
    embeddings: Embeddings | None
    """What `encode_prompt` or `interpolate` gave. The prior is skipped and no prior_… option is allowed."""


class PriorOptions(CallOptions, total=False):
    """What the calls that only need the prior share."""

    num_inference_steps: int | None
    """Steps of the prior."""
    guidance_scale: float | None
    """How closely the prior follows the prompt."""
    seed: int | None
    """Seed of the noise, 0 or more. Left out: the server draws one and the result tells it."""


class EncodePromptOptions(PriorOptions, total=False):
    """What `encode_prompt` takes besides the prompt."""

    negative_prompt: str | None
    """What the picture shall not show. "" counts as one."""
    num_embeddings: int | None
    """How many embeddings to make; embedding i uses seed + i."""


class InterpolateOptions(PriorOptions, total=False):
    """What `interpolate` takes besides the texts and pictures."""

    weights: list[float] | None
    """One for each item, any finite number, not normalised. Left out: all items count the same and add up to 1."""
    negative_prompt: str | None
    """What the picture shall not show."""
    negative_prior_prompt: str | None
    """What the prior is guided away from while it encodes each text. "" counts as one."""
