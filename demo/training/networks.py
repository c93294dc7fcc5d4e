"""The six networks at the demo's size: every one of Kandinsky 2.1's kinds of layer, fewer and narrower."""

from __future__ import annotations

from pathlib import Path

from diffusers import PriorTransformer, UNet2DConditionModel, VQModel
from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from demo.training.pool import CLIP_SIZE_PX
from demo.training.tokenizers import token_ids, vocabulary_size

EMBEDDING_DIM = 128
MAX_TOKENS = 77
_TRANSFORMER = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4}


def clip_text(tokenizer: Path) -> CLIPTextModelWithProjection:
    """The prior's text tower."""
    ids, _ = token_ids(tokenizer, [""])
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            **_TRANSFORMER,
            vocab_size=vocabulary_size(tokenizer),
            projection_dim=EMBEDDING_DIM,
            bos_token_id=ids[0][0],
            eos_token_id=ids[0][1],
            pad_token_id=ids[0][1],
        )
    )


def clip_vision() -> CLIPVisionModelWithProjection:
    """The image tower."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(**_TRANSFORMER, projection_dim=EMBEDDING_DIM, image_size=CLIP_SIZE_PX, patch_size=8)
    )


def multilingual_clip(tokenizer: Path) -> MultilingualCLIP:
    """The decoder's text encoder: XLM-R and a linear map into CLIP's space."""
    return MultilingualCLIP(
        MCLIPConfig(
            transformerDimSize=_TRANSFORMER["hidden_size"],
            imageDimSize=EMBEDDING_DIM,
            **_TRANSFORMER,
            vocab_size=vocabulary_size(tokenizer),
            max_position_embeddings=MAX_TOKENS + 3,  # XLM-R counts positions from pad_token_id + 1
            type_vocab_size=1,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
        )
    )


def prior() -> PriorTransformer:
    """Text embedding → image embedding, by diffusion."""
    return PriorTransformer(
        num_attention_heads=4,
        attention_head_dim=32,
        num_layers=4,
        embedding_dim=EMBEDDING_DIM,
        num_embeddings=MAX_TOKENS,
    )


def movq() -> VQModel:
    """Picture ↔ latents, 8 times smaller each way."""
    return VQModel(
        block_out_channels=(32, 32, 64, 64),
        down_block_types=(*["DownEncoderBlock2D"] * 3, "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", *["UpDecoderBlock2D"] * 3),
        layers_per_block=1,
        latent_channels=4,
        vq_embed_dim=4,
        num_vq_embeddings=1024,
        norm_num_groups=16,
        norm_type="spatial",
        sample_size=128,
    )


def unet() -> UNet2DConditionModel:
    """The denoiser; half of its eight output channels is the learned variance."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=8,
        block_out_channels=(64, 96, 160),
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        layers_per_block=2,
        attention_head_dim=32,
        norm_num_groups=16,
        cross_attention_dim=EMBEDDING_DIM,
        encoder_hid_dim=_TRANSFORMER["hidden_size"],
        encoder_hid_dim_type="text_image_proj",
        addition_embed_type="text_image",
        resnet_time_scale_shift="scale_shift",
    )
