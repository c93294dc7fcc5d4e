"""What a request to the prior says, defaults filled in and limits checked."""

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from imagegen.v1.common_pb2 import Phase
from imagegen.v1.prior_pb2 import (
    InterpolationItem,
    PriorParams,
    PriorServiceEncodePromptRequest,
    PriorServiceInterpolateRequest,
)
from kandinsky.noise import generators
from kandinsky.prior_model import PriorModel
from kandinsky.prior_sampling import check_guidance_scale
from kandinsky.schedulers.ancestral import prior_schedule
from prior_server.config import PriorConfig
from prior_server.fields import FIELDS
from serving.errors import InvalidFieldError
from worker.errors import told_to_client
from worker.service import check_bytes

# Seeds the server draws stay in the range that every client language reads without care.
_DRAWN_SEED_BITS = 53


@dataclass(frozen=True)
class Values:
    """How texts are turned into embeddings.

    Attributes:
        negative_prompt: what the prior is guided away from; None for nothing, "" is a text.
        steps: prior steps.
        guidance_scale: 0 or more.
        seed: of the first embedding.
    """

    negative_prompt: str | None
    steps: int
    guidance_scale: float
    seed: int

    @property
    def rows(self) -> int:
        """Embeddings that a text's steps make: its own and, with a negative prompt, that one's."""
        return 1 if self.negative_prompt is None else 2


def parse_encode_prompt(
    message: PriorServiceEncodePromptRequest, model: PriorModel, config: PriorConfig
) -> tuple[Values, int]:
    """Read an EncodePrompt request: its values, and how many embeddings it asks for.

    Raises:
        InvalidFieldError: a field holds what it may not; says what is allowed.
    """
    check_bytes("prompt", message.prompt, config.max_prompt_bytes)
    check_bytes("negative_prompt", message.negative_prompt, config.max_prompt_bytes)
    count = message.num_embeddings if message.HasField("num_embeddings") else 1
    if not 1 <= count <= config.max_num_embeddings:
        raise InvalidFieldError("num_embeddings", f"{count} is outside 1 … {config.max_num_embeddings}")
    negative_prompt = message.negative_prompt if message.HasField("negative_prompt") else None
    return _values(message.params, negative_prompt, model, count), count


def parse_interpolate(message: PriorServiceInterpolateRequest, model: PriorModel, config: PriorConfig) -> Values:
    """Read an Interpolate request, but for its items.

    Raises:
        InvalidFieldError: a field holds what it may not; says what is allowed.
    """
    check_bytes("negative_prompt", message.negative_prompt, config.max_prompt_bytes)
    check_bytes("negative_prior_prompt", message.negative_prior_prompt, config.max_prompt_bytes)
    negative = message.negative_prior_prompt if message.HasField("negative_prior_prompt") else None
    return _values(message.params, negative, model, count=1)


def parse_weights(items: Sequence[InterpolationItem], config: PriorConfig) -> list[float]:
    """Check the items of a mix and give each its weight.

    Raises:
        InvalidFieldError: names the item and what is allowed.
    """
    if not 1 <= len(items) <= config.max_items:
        raise InvalidFieldError("items", f"are {len(items)}; 1 to {config.max_items} are allowed")
    for index, item in enumerate(items):
        match item.WhichOneof("content"):
            case "text":
                check_bytes(f"items[{index}].text", item.text, config.max_prompt_bytes)
            case "image":
                check_bytes(f"items[{index}].image", item.image, config.max_image_bytes)
            case _:
                raise InvalidFieldError(f"items[{index}]", "needs a text or an image")
    return _weights(items)


def _weights(items: Sequence[InterpolationItem]) -> list[float]:
    given = [item.HasField("weight") for item in items]
    if not any(given):
        return [1 / len(items)] * len(items)
    for index, item in enumerate(items):
        if not given[index]:
            raise InvalidFieldError(f"items[{index}].weight", "is not set, but other items' are; set all or none")
        if not math.isfinite(item.weight):
            raise InvalidFieldError(f"items[{index}].weight", f"{item.weight} is not a finite number")
    return [item.weight for item in items]


def _values(params: PriorParams, negative_prompt: str | None, model: PriorModel, count: int) -> Values:
    defaults = model.defaults
    values = Values(
        negative_prompt,
        params.num_inference_steps if params.HasField("num_inference_steps") else defaults.prior_num_inference_steps,
        params.guidance_scale if params.HasField("guidance_scale") else defaults.prior_guidance_scale,
        params.seed if params.HasField("seed") else secrets.randbits(_DRAWN_SEED_BITS),
    )
    with told_to_client(FIELDS, Phase.PHASE_QUEUED):
        prior_schedule(model.scheduler, values.steps)
        check_guidance_scale("prior_guidance_scale", values.guidance_scale)
        generators(values.seed, count)
    return values
