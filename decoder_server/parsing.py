"""An Img2Img request as the model library takes it: defaults filled in, limits checked, nothing run."""

import secrets
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from decoder_server.config import MIN_SIDE_PX, DecoderConfig
from decoder_server.fields import FIELDS
from imagegen.v1.common_pb2 import ImageEmbeddings, Phase, Tensor
from imagegen.v1.decoder_pb2 import (
    DecoderServiceImg2ImgRequest,
    ImageFormat,
    Img2ImgParams,
    ResizeMode,
    SchedulerType,
)
from kandinsky import images
from kandinsky.decoder_model import DecoderModel
from kandinsky.img2img import Img2ImgRequest, check_request
from kandinsky.schedulers import img2img
from serving.errors import EmbeddingsOfAnotherModelError, InvalidFieldError
from serving.tensors import to_array
from worker.errors import told_to_client
from worker.service import check_bytes

# Seeds the server draws stay in the range that every client language reads without care.
_DRAWN_SEED_BITS = 53

_SCHEDULERS = {
    SchedulerType.SCHEDULER_TYPE_DDIM: img2img.SchedulerType.DDIM,
    SchedulerType.SCHEDULER_TYPE_DDPM: img2img.SchedulerType.DDPM,
    SchedulerType.SCHEDULER_TYPE_DPM_SOLVER_PP_2M: img2img.SchedulerType.DPM_SOLVER_PP_2M,
}
_RESIZE_MODES = {
    ResizeMode.RESIZE_MODE_UNSPECIFIED: images.ResizeMode.STRETCH,
    ResizeMode.RESIZE_MODE_STRETCH: images.ResizeMode.STRETCH,
    ResizeMode.RESIZE_MODE_FIT: images.ResizeMode.FIT,
    ResizeMode.RESIZE_MODE_CROP: images.ResizeMode.CROP,
}
_FORMATS = {
    ImageFormat.IMAGE_FORMAT_UNSPECIFIED: images.OutputFormat.PNG,
    ImageFormat.IMAGE_FORMAT_PNG: images.OutputFormat.PNG,
    ImageFormat.IMAGE_FORMAT_JPEG: images.OutputFormat.JPEG,
    ImageFormat.IMAGE_FORMAT_WEBP: images.OutputFormat.WEBP,
}
IMAGE_FORMATS: Mapping[images.OutputFormat, ImageFormat.ValueType] = {
    images.OutputFormat.PNG: ImageFormat.IMAGE_FORMAT_PNG,
    images.OutputFormat.JPEG: ImageFormat.IMAGE_FORMAT_JPEG,
    images.OutputFormat.WEBP: ImageFormat.IMAGE_FORMAT_WEBP,
}
SCHEDULER_TYPES: Mapping[img2img.SchedulerType, SchedulerType.ValueType] = {
    own: wire for wire, own in _SCHEDULERS.items()
}

Value = TypeVar("Value")
Wire = TypeVar("Wire", bound=int)


def parse(
    message: DecoderServiceImg2ImgRequest, model: DecoderModel, config: DecoderConfig
) -> tuple[Img2ImgRequest, images.OutputFormat]:
    """Read a request.

    Raises:
        InvalidFieldError: a field holds what it may not; says what is allowed.
        EmbeddingsOfAnotherModelError: its embeddings are of a prior that this decoder was not told of.
    """
    check_bytes("prompt", message.prompt, config.max_prompt_bytes)
    check_bytes("negative_prompt", message.negative_prompt, config.max_prompt_bytes)
    if not message.image:
        raise InvalidFieldError("image", "is required: a PNG, JPEG or WebP file")
    check_bytes("image", message.image, config.max_image_bytes)
    output_format = _choice("params.output_format", message.params.output_format, _FORMATS)
    request = _request(message, model)
    _check_limits(request, config)
    with told_to_client(FIELDS, Phase.PHASE_QUEUED):
        check_request(model, request)
    _check_digest(message.embeddings, config)
    return request, output_format


def _request(message: DecoderServiceImg2ImgRequest, model: DecoderModel) -> Img2ImgRequest:
    params, defaults = message.params, model.defaults
    width, height = model.default_size_px
    guidance_scale = _given(params, "guidance_scale", defaults.guidance_scale)
    image_embeds, negative_image_embeds = _embeddings(message, model.embedding_dim, guided=guidance_scale > 1.0)
    unspecified = params.scheduler == SchedulerType.SCHEDULER_TYPE_UNSPECIFIED
    return Img2ImgRequest(
        prompt=message.prompt,
        negative_prompt=message.negative_prompt,
        image_embeds=image_embeds,
        negative_image_embeds=negative_image_embeds,
        width=_given(params, "width", width),
        height=_given(params, "height", height),
        steps=_given(params, "num_inference_steps", defaults.num_inference_steps),
        strength=_given(params, "strength", defaults.strength),
        guidance_scale=guidance_scale,
        seed=params.seed if params.HasField("seed") else secrets.randbits(_DRAWN_SEED_BITS),
        num_images=_given(params, "num_images", 1),
        scheduler=model.scheduler_type if unspecified else _choice("params.scheduler", params.scheduler, _SCHEDULERS),
        resize_mode=_choice("params.resize_mode", params.resize_mode, _RESIZE_MODES),
    )


def _given(params: Img2ImgParams, name: str, default: Value) -> Value:
    """A field's value where it is set: 0 is a value."""
    value: Value = getattr(params, name) if params.HasField(name) else default  # type: ignore[arg-type]  # names are literals there
    return value


def _choice(field: str, value: Wire, choices: Mapping[Wire, Value]) -> Value:
    if value not in choices:
        raise InvalidFieldError(field, f"{value} is not a value of the enum that this server knows")
    return choices[value]


def _embeddings(
    message: DecoderServiceImg2ImgRequest, dim: int, *, guided: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    if not message.HasField("embeddings"):
        raise InvalidFieldError("embeddings", "is required: what EncodePrompt or Interpolate answered")
    embeddings = message.embeddings
    image_embeds = _rows(embeddings.image_embeds, "embeddings.image_embeds", dim)
    if not guided and not embeddings.HasField("negative_image_embeds"):
        return image_embeds, np.zeros((1, dim), np.float32)
    return image_embeds, _rows(embeddings.negative_image_embeds, "embeddings.negative_image_embeds", dim)


def _rows(tensor: Tensor, field: str, dim: int) -> npt.NDArray[np.float32]:
    return to_array(tensor, field, (None, dim)).astype(np.float32)


def _check_limits(request: Img2ImgRequest, config: DecoderConfig) -> None:
    for field, side in (("params.width", request.width), ("params.height", request.height)):
        if not MIN_SIDE_PX <= side <= config.max_side_px:
            raise InvalidFieldError(field, f"{side} is outside {MIN_SIDE_PX} … {config.max_side_px}")
    if request.width * request.height > config.max_pixels:
        raise InvalidFieldError(
            "params.width",
            f"× params.height is {request.width * request.height}; at most {config.max_pixels} is allowed",
        )
    if not 1 <= request.num_images <= config.max_num_images:
        raise InvalidFieldError("params.num_images", f"{request.num_images} is outside 1 … {config.max_num_images}")


def _check_digest(embeddings: ImageEmbeddings, config: DecoderConfig) -> None:
    digest, accepted = embeddings.prior_digest, config.prior_digests
    if digest and accepted and digest not in accepted:
        raise EmbeddingsOfAnotherModelError(digest, accepted)
