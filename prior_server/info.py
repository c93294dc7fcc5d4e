"""What the prior tells of itself: model, defaults, limits."""

from collections.abc import Sequence

from imagegen.v1.common_pb2 import Bucket, ModelInfo
from imagegen.v1.prior_pb2 import PriorInfo, PriorLimits, PriorParams
from kandinsky.prior_model import PriorModel
from prior_server.config import PriorConfig


def prior_info(model: PriorModel, info: ModelInfo, config: PriorConfig, buckets: Sequence[Bucket]) -> PriorInfo:
    """GetModel's answer."""
    defaults = PriorParams(
        num_inference_steps=model.defaults.prior_num_inference_steps,
        guidance_scale=model.defaults.prior_guidance_scale,
    )
    limits = PriorLimits(
        max_prompt_bytes=config.max_prompt_bytes,
        max_prompt_tokens=model.tokenizer.max_length,
        max_num_inference_steps=model.scheduler.num_train_timesteps,
        max_num_embeddings=config.max_num_embeddings,
        max_items=config.max_items,
        max_image_bytes=config.max_image_bytes,
        max_image_pixels=config.max_image_pixels,
    )
    return PriorInfo(model=info, defaults=defaults, limits=limits, buckets=buckets)
