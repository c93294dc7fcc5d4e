"""What can be known to be wrong without a model, in the server's words.

The conformance cases hold this file, its twin in Go and the server together.
"""

import math
import re
import struct
from collections.abc import Sequence

from imagegen.v1 import common_pb2, decoder_pb2, gateway_pb2, prior_pb2
from kandinsky_client.errors import invalid_field

_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_PICTURE_FILE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF.{4}WEBP", re.DOTALL)
_STRUCT_CODES = {common_pb2.DATA_TYPE_FLOAT32: "f", common_pb2.DATA_TYPE_FLOAT16: "e"}
_LARGEST_SEED = 2**64 - 1


def check_img2img(request: gateway_pb2.Img2ImgRequest) -> None:
    """Refuse what no server would accept.

    Raises:
        InvalidArgumentError: names the field and what is allowed; so do the others below.
    """
    _check_request_id(request.request_id)
    if request.HasField("embeddings") and request.HasField("prior"):
        raise invalid_field("prior", "must not be set together with embeddings, which need no prior")
    _check_image("image", request.image)
    _check_guidance("params.guidance_scale", request.params)
    _check_strength(request.params)
    _check_seed(request.params, request.params.num_images)
    _check_guidance("prior.guidance_scale", request.prior)
    _check_tensor("embeddings.image_embeds", request.embeddings.image_embeds)
    _check_tensor("embeddings.negative_image_embeds", request.embeddings.negative_image_embeds)


def check_encode_prompt(request: gateway_pb2.EncodePromptRequest) -> None:
    """Refuse what no server would accept."""
    _check_request_id(request.request_id)
    _check_guidance("params.guidance_scale", request.params)
    _check_seed(request.params, request.num_embeddings)


def check_interpolate(request: gateway_pb2.InterpolateRequest) -> None:
    """Refuse what no server would accept."""
    _check_request_id(request.request_id)
    _check_guidance("params.guidance_scale", request.params)
    for index, item in enumerate(request.items):
        if item.image:
            _check_image(f"items[{index}].image", item.image)
    _check_weights(request.items)


def _check_request_id(request_id: str) -> None:
    if request_id and _REQUEST_ID.fullmatch(request_id) is None:
        raise invalid_field("request_id", "must be 1 to 128 printable ASCII characters without spaces")


def _check_image(field: str, file: bytes) -> None:
    if not file:
        raise invalid_field(field, "must be a PNG, JPEG or WebP file, but is empty")
    if _PICTURE_FILE.match(file) is None:
        raise invalid_field(field, "is not a PNG, JPEG or WebP file that can be decoded")


def _check_guidance(field: str, params: decoder_pb2.Img2ImgParams | prior_pb2.PriorParams) -> None:
    scale = params.guidance_scale
    if not (math.isfinite(scale) and scale >= 0):
        raise invalid_field(field, f"{scale} is not a finite number of 0 or more")


def _check_strength(params: decoder_pb2.Img2ImgParams) -> None:
    if not params.HasField("strength"):
        return
    strength, steps = params.strength, params.num_inference_steps
    if not (0 < strength <= 1 and int(1000 * strength) >= 2):
        raise invalid_field("params.strength", f"{strength:g} is outside 0.002 … 1")
    if steps > 0 and int(steps * strength) < 1:
        raise invalid_field(
            "params.strength",
            f"{strength:g} of {steps} steps runs none; use num_inference_steps ≥ {_fewest_steps(strength)} "
            f"or strength ≥ {_least_strength(steps):g}",
        )


def _fewest_steps(strength: float) -> int:
    steps = max(int(1 / strength), 1)
    while int(steps * strength) < 1:
        steps += 1
    return steps


def _least_strength(steps: int) -> float:
    """The smallest strength in thousandths that runs a step."""
    thousandths = -(-1000 // steps)
    while int(steps * (thousandths / 1000)) < 1:
        thousandths += 1
    return thousandths / 1000


def _check_seed(params: decoder_pb2.Img2ImgParams | prior_pb2.PriorParams, count: int) -> None:
    largest = _LARGEST_SEED - max(count, 1) + 1
    if params.seed > largest:
        raise invalid_field("params.seed", f"{params.seed} is outside 0 … {largest}")


def _check_weights(items: Sequence[prior_pb2.InterpolationItem]) -> None:
    given = [item.HasField("weight") for item in items]
    if not any(given):
        return
    for index, item in enumerate(items):
        if not given[index]:
            raise invalid_field(f"items[{index}].weight", "is not set, but other items' are; set all or none")
        if not math.isfinite(item.weight):
            raise invalid_field(f"items[{index}].weight", f"{item.weight} is not a finite number")


def _check_tensor(field: str, tensor: common_pb2.Tensor) -> None:
    """Look at what is there; of a wrong dtype, shape or size the server says what it needs."""
    code = _STRUCT_CODES.get(tensor.dtype)
    if code is None or len(tensor.data) != math.prod(tensor.shape) * struct.calcsize(code):
        return
    if not all(math.isfinite(number) for (number,) in struct.iter_unpack(f"<{code}", tensor.data)):
        raise invalid_field(f"{field}.data", "must be finite, but holds NaN or infinity")
