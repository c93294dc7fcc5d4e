"""The UNet's config: which keys are honoured, and which values are supported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kandinsky.activations import ACTIVATIONS
from kandinsky.config import divides, one_of, per_block, read_config
from kandinsky.errors import ConfigError

DOWN_BLOCKS = ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D")
UP_BLOCKS = ("ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D")

_FIXED: dict[str, tuple[Any, ...]] = {
    "addition_embed_type": ("text_image",),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "class_embeddings_concat": (False,),
    "cross_attention_norm": (None,),
    "dual_cross_attention": (False,),
    "encoder_hid_dim_type": ("text_image_proj",),
    "mid_block_type": ("UNetMidBlock2DSimpleCrossAttn",),
    "num_class_embeds": (None,),
    "time_cond_proj_dim": (None,),
    "time_embedding_act_fn": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}
# Keys of other block types and conditionings; diffusers reads none of them for the types fixed above.
_IRRELEVANT = frozenset(
    """
    addition_embed_type_num_heads addition_time_embed_dim downsample_padding dropout num_attention_heads
    projection_class_embeddings_input_dim reverse_transformer_layers_per_block transformer_layers_per_block
    upcast_attention use_linear_projection
    """.split()
)


@dataclass(frozen=True)
class UNetConfig:
    """Keys of unet/config.json; defaults are diffusers' own where Kandinsky's files may leave a key out."""

    block_out_channels: tuple[int, ...]
    cross_attention_dim: int
    down_block_types: tuple[str, ...]
    encoder_hid_dim: int
    up_block_types: tuple[str, ...]
    act_fn: str = "silu"
    attention_head_dim: int | tuple[int, ...] = 8
    conv_in_kernel: int = 3
    conv_out_kernel: int = 3
    flip_sin_to_cos: bool = True
    freq_shift: float = 0.0
    in_channels: int = 4
    layers_per_block: int | tuple[int, ...] = 2
    mid_block_only_cross_attention: bool | None = None
    mid_block_scale_factor: float = 1.0
    norm_eps: float = 1e-5
    norm_num_groups: int = 32
    only_cross_attention: bool = False
    out_channels: int = 4
    resnet_out_scale_factor: float = 1.0
    resnet_skip_time_act: bool = False
    resnet_time_scale_shift: str = "default"
    sample_size: int | None = None
    time_embedding_dim: int | None = None

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "UNetConfig":
        """Read a config file's content.

        Raises:
            ConfigError: see `read_config`; or the sizes contradict each other.
        """
        for key in ("addition_embed_type", "encoder_hid_dim_type", "mid_block_type"):
            if key not in raw:
                raise ConfigError(f"unet: config lacks {key}; this is not a Kandinsky 2.1 UNet")
        config = read_config(cls, raw, "unet", fixed=_FIXED, irrelevant=_IRRELEVANT)
        config._check()
        return config

    def _check(self) -> None:
        one_of("unet", "act_fn", self.act_fn, ACTIVATIONS)
        one_of("unet", "resnet_time_scale_shift", self.resnet_time_scale_shift, ("default", "scale_shift"))
        one_of("unet", "out_channels", self.out_channels, (self.in_channels, 2 * self.in_channels))
        for name in self.down_block_types:
            one_of("unet", "down_block_types", name, DOWN_BLOCKS)
        for name in self.up_block_types:
            one_of("unet", "up_block_types", name, UP_BLOCKS)
        blocks = len(self.block_out_channels)
        for key, types in (("down_block_types", self.down_block_types), ("up_block_types", self.up_block_types)):
            if len(types) != blocks:
                raise ConfigError(f"unet: config {key}={list(types)} has {len(types)} entries for {blocks} blocks")
        for channels in self.block_out_channels:
            divides("unet", "norm_num_groups", self.norm_num_groups, "block_out_channels", channels)

    @property
    def layers(self) -> tuple[int, ...]:
        """Residual blocks in each down block."""
        return per_block("unet", "layers_per_block", self.layers_per_block, len(self.block_out_channels))

    @property
    def head_dims(self) -> tuple[int, ...]:
        """Head width in each down block."""
        return per_block("unet", "attention_head_dim", self.attention_head_dim, len(self.block_out_channels))

    @property
    def time_dim(self) -> int:
        """Width of the time embedding."""
        return 4 * self.block_out_channels[0] if self.time_embedding_dim is None else self.time_embedding_dim

    @property
    def mid_block_only_text(self) -> bool:
        """Whether the middle block's attention leaves the picture's own positions out."""
        own = self.mid_block_only_cross_attention
        return self.only_cross_attention if own is None else own
