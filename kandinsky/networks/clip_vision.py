"""CLIP's vision tower with projection: pixels → image embedding.

Source: arXiv:2103.00020; transformers' CLIPVisionModelWithProjection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn, ops

from kandinsky.activations import ACTIVATIONS
from kandinsky.config import TRANSFORMERS_IRRELEVANT, divides, one_of, read_config
from kandinsky.networks.clip_encoder import ClipEncoder, EncoderShape
from kandinsky.networks.layers import Conv2d, Embedding, LayerNorm, Linear
from kandinsky.ops import Kernels
from kandinsky.parameters import parameter


@dataclass(frozen=True)
class ClipVisionConfig:
    """Keys of image_encoder/config.json; defaults are transformers' own."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "ClipVisionConfig":
        """Read a config file's content.

        Raises:
            ConfigError: see `read_config`; or the sizes contradict each other.
        """
        config = read_config(cls, raw, "image_encoder", fixed={}, irrelevant=TRANSFORMERS_IRRELEVANT)
        one_of("image_encoder", "hidden_act", config.hidden_act, ACTIVATIONS)
        divides("image_encoder", "num_attention_heads", config.num_attention_heads, "hidden_size", config.hidden_size)
        return config


class VisionEmbeddings(nn.Cell):
    """Patches, a class token in front, positions: (b, 3, h, w) → (b, 1 + patches, width)."""

    def __init__(self, config: ClipVisionConfig, kernels: Kernels) -> None:
        super().__init__()
        patch, patches = config.patch_size, (config.image_size // config.patch_size) ** 2
        self.class_embedding = parameter(config.hidden_size)
        self.patch_embedding = Conv2d(
            config.num_channels,
            config.hidden_size,
            patch,
            kernels,
            stride=patch,
            padding=(0, 0, 0, 0),
            bias=False,
        )
        self.position_embedding = Embedding(patches + 1, config.hidden_size)

    def construct(self, pixel_values: Tensor) -> Tensor:
        patches = self.patch_embedding(pixel_values.astype(self.class_embedding.dtype))
        b, width, h, w = patches.shape
        # (b, width, h, w) → (b, h·w, width)
        tokens = patches.reshape(b, width, h * w).transpose(0, 2, 1)
        first = ops.broadcast_to(self.class_embedding.reshape(1, 1, width), (b, 1, width))
        return ops.cat((first, tokens), 1) + self.position_embedding.weight


class VisionTransformer(nn.Cell):
    """Embeddings, norm, encoder, norm of the class token: (b, 3, h, w) → (b, width)."""

    def __init__(self, config: ClipVisionConfig, kernels: Kernels) -> None:
        super().__init__()
        shape = EncoderShape(
            config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.intermediate_size,
            config.hidden_act,
            config.layer_norm_eps,
        )
        self.embeddings = VisionEmbeddings(config, kernels)
        # The name has been misspelt in the checkpoints ever since the first release.
        self.pre_layrnorm = LayerNorm(config.hidden_size, kernels, config.layer_norm_eps)
        self.encoder = ClipEncoder(shape, kernels)
        self.post_layernorm = LayerNorm(config.hidden_size, kernels, config.layer_norm_eps)

    def construct(self, pixel_values: Tensor) -> Tensor:
        hidden_states = self.encoder(self.pre_layrnorm(self.embeddings(pixel_values)), None)
        return self.post_layernorm(hidden_states[:, 0])


class ClipVisionEncoder(nn.Cell):
    """Pictures to image embeddings.

    Args of a call:
        pixel_values: (b, 3, image_size, image_size), normalised as the image processor's config says.

    Returns:
        image_embeds: (b, projection_dim).
    """

    def __init__(self, config: ClipVisionConfig, kernels: Kernels) -> None:
        super().__init__()
        self.vision_model = VisionTransformer(config, kernels)
        self.visual_projection = Linear(config.hidden_size, config.projection_dim, kernels, bias=False)

    def construct(self, pixel_values: Tensor) -> Tensor:
        return self.visual_projection(self.vision_model(pixel_values))
