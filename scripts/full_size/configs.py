"""The configs of kandinsky-community/kandinsky-2-1-prior and kandinsky-2-1, less what changes nothing."""

from typing import Any

UNET_PARAMETERS_MILLIONS = 1229

Config = dict[str, Any]

PRIOR: dict[str, Config] = {
    "prior": {
        "_class_name": "PriorTransformer",
        "additional_embeddings": 4,
        "attention_head_dim": 64,
        "embedding_dim": 768,
        "num_attention_heads": 32,
        "num_embeddings": 77,
        "num_layers": 20,
    },
    "text_encoder": {
        "architectures": ["CLIPTextModelWithProjection"],
        "eos_token_id": 2,
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "max_position_embeddings": 77,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "projection_dim": 768,
        "vocab_size": 49408,
    },
    "image_encoder": {
        "architectures": ["CLIPVisionModelWithProjection"],
        "hidden_act": "quick_gelu",
        "hidden_size": 1024,
        "image_size": 224,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "projection_dim": 768,
    },
}

DECODER: dict[str, Config] = {
    "text_encoder": {
        "architectures": ["MultilingualCLIP"],
        "hidden_act": "gelu",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514,
        "numDims": 768,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "pad_token_id": 1,
        "transformerDimensions": 1024,
        "type_vocab_size": 1,
        "vocab_size": 250002,
    },
    "unet": {
        "_class_name": "UNet2DConditionModel",
        "addition_embed_type": "text_image",
        "attention_head_dim": 64,
        "block_out_channels": [384, 768, 1152, 1536],
        "cross_attention_dim": 768,
        "down_block_types": ["ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3],
        "encoder_hid_dim": 1024,
        "encoder_hid_dim_type": "text_image_proj",
        "in_channels": 4,
        "layers_per_block": 3,
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "norm_num_groups": 32,
        "out_channels": 8,
        "resnet_time_scale_shift": "scale_shift",
        "sample_size": 64,
        "up_block_types": [*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"],
    },
    "movq": {
        "_class_name": "VQModel",
        "block_out_channels": [128, 256, 256, 512],
        "down_block_types": [*["DownEncoderBlock2D"] * 3, "AttnDownEncoderBlock2D"],
        "latent_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "norm_type": "spatial",
        "num_vq_embeddings": 16384,
        "up_block_types": ["AttnUpDecoderBlock2D", *["UpDecoderBlock2D"] * 3],
        "vq_embed_dim": 4,
    },
}
