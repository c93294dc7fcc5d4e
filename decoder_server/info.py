"""What the decoder tells of itself: model, defaults, limits."""

from collections.abc import Sequence

from decoder_server.config import MIN_SIDE_PX, DecoderConfig
from decoder_server.parsing import SCHEDULER_TYPES
from imagegen.v1.common_pb2 import Bucket, ModelInfo
from imagegen.v1.decoder_pb2 import DecoderInfo, ImageFormat, Img2ImgLimits, Img2ImgParams, ResizeMode
from kandinsky.decoder_model import PROMPT_TOKENS, DecoderModel


def decoder_info(model: DecoderModel, info: ModelInfo, config: DecoderConfig, buckets: Sequence[Bucket]) -> DecoderInfo:
    """GetModel's answer."""
    return DecoderInfo(
        model=info,
        defaults=_defaults(model),
        limits=_limits(model, config),
        buckets=buckets,
        prior_digests=config.prior_digests,
    )


def _defaults(model: DecoderModel) -> Img2ImgParams:
    width, height = model.default_size_px
    return Img2ImgParams(
        width=width,
        height=height,
        num_inference_steps=model.defaults.num_inference_steps,
        strength=model.defaults.strength,
        guidance_scale=model.defaults.guidance_scale,
        num_images=1,
        scheduler=SCHEDULER_TYPES[model.scheduler_type],
        resize_mode=ResizeMode.RESIZE_MODE_STRETCH,
        output_format=ImageFormat.IMAGE_FORMAT_PNG,
    )


def _limits(model: DecoderModel, config: DecoderConfig) -> Img2ImgLimits:
    return Img2ImgLimits(
        min_side_px=MIN_SIDE_PX,
        max_side_px=config.max_side_px,
        max_pixels=config.max_pixels,
        granularity_px=model.granularity_px,
        max_num_inference_steps=model.scheduler.num_train_timesteps,
        max_num_images=config.max_num_images,
        max_prompt_bytes=config.max_prompt_bytes,
        max_prompt_tokens=PROMPT_TOKENS,
        max_image_bytes=config.max_image_bytes,
        max_image_pixels=config.max_image_pixels,
    )
