"""MoVQ: pictures to latents and back.

Sources: arXiv:2209.09002 (modulated vector quantisation); diffusers' VQModel. Kandinsky uses the latents before
quantisation in both directions; the quantiser is here because the checkpoints hold it and `quantise` is part of the
model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from kandinsky.activations import ACTIVATIONS
from kandinsky.config import divides, one_of, read_config
from kandinsky.errors import ConfigError
from kandinsky.networks.layers import Conv2d, Embedding, cells
from kandinsky.networks.movq_blocks import (
    EPSILON,
    SPATIAL_GROUPS,
    Downsample,
    MovqAttention,
    MovqMiddle,
    MovqResnet,
    MovqStage,
    PlainNorm,
    SpatialNorm,
    Upsample,
)
from kandinsky.ops import Kernels

_DOWN_BLOCKS = ("DownEncoderBlock2D", "AttnDownEncoderBlock2D")
_UP_BLOCKS = ("UpDecoderBlock2D", "AttnUpDecoderBlock2D")
# How VQModel may be used, not what it computes here.
_IRRELEVANT = frozenset({"force_upcast", "sample_size", "scaling_factor"})


@dataclass(frozen=True)
class MovqConfig:
    """Keys of movq/config.json; defaults are diffusers' own."""

    in_channels: int = 3
    out_channels: int = 3
    down_block_types: tuple[str, ...] = ("DownEncoderBlock2D",)
    up_block_types: tuple[str, ...] = ("UpDecoderBlock2D",)
    block_out_channels: tuple[int, ...] = (64,)
    layers_per_block: int = 1
    act_fn: str = "silu"
    latent_channels: int = 3
    num_vq_embeddings: int = 256
    norm_num_groups: int = 32
    vq_embed_dim: int | None = None
    norm_type: str = "group"
    mid_block_add_attention: bool = True

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "MovqConfig":
        """Read a config file's content.

        Raises:
            ConfigError: see `read_config`; or the sizes contradict each other.
        """
        config = read_config(cls, raw, "movq", fixed={"lookup_from_codebook": (False,)}, irrelevant=_IRRELEVANT)
        one_of("movq", "act_fn", config.act_fn, ACTIVATIONS)
        one_of("movq", "norm_type", config.norm_type, ("group", "spatial"))
        blocks = len(config.block_out_channels)
        for key, types, allowed in (
            ("down_block_types", config.down_block_types, _DOWN_BLOCKS),
            ("up_block_types", config.up_block_types, _UP_BLOCKS),
        ):
            if len(types) != blocks:
                raise ConfigError(f"movq: config {key}={list(types)} has {len(types)} entries for {blocks} blocks")
            for name in types:
                one_of("movq", key, name, allowed)
        if config.norm_type == "spatial" and config.embed_dim != config.latent_channels:
            # diffusers conditions the decoder's norms, built for latent_channels, on vq_embed_dim channels.
            raise ConfigError(
                f"movq: config vq_embed_dim={config.embed_dim} must equal latent_channels={config.latent_channels} "
                "with norm_type='spatial'"
            )
        config._check_norms()
        return config

    def _check_norms(self) -> None:
        """Group norms stand before all channels of both halves; spatial ones, which have groups of their own, too."""
        for channels in self.block_out_channels:
            divides("movq", "norm_num_groups", self.norm_num_groups, "block_out_channels", channels)
            if self.norm_type == "spatial" and channels % SPATIAL_GROUPS != 0:
                raise ConfigError(
                    f"movq: config block_out_channels={list(self.block_out_channels)} must be multiples of "
                    f"{SPATIAL_GROUPS} with norm_type='spatial', whatever norm_num_groups is"
                )

    @property
    def embed_dim(self) -> int:
        """Channels of the latents that the UNet sees."""
        return self.latent_channels if self.vq_embed_dim is None else self.vq_embed_dim

    @property
    def scale(self) -> int:
        """Pixels a latent position stands for, in each direction."""
        scale: int = 2 ** (len(self.block_out_channels) - 1)
        return scale


@dataclass(frozen=True)
class _Parts:
    """Makes the blocks of one half: `spatial` says which norm."""

    config: MovqConfig
    kernels: Kernels
    spatial: bool

    def norm(self, channels: int, activation: str | None) -> PlainNorm | SpatialNorm:
        return self._spatial_norm(channels, activation) if self.spatial else self._group_norm(channels, activation)

    def resnets(self, in_channels: int, out_channels: int, count: int) -> list[MovqResnet]:
        inputs = [in_channels] + [out_channels] * (count - 1)
        return [MovqResnet(n, out_channels, self.config.act_fn, self.norm, self.kernels) for n in inputs]

    def attentions(self, channels: int, count: int) -> list[MovqAttention]:
        group = [None if self.spatial else self._group_norm(channels) for _ in range(count)]
        spatial = [self._spatial_norm(channels) if self.spatial else None for _ in range(count)]
        return [MovqAttention(channels, a, b, self.kernels) for a, b in zip(group, spatial, strict=True)]

    def middle(self) -> MovqMiddle:
        channels = self.config.block_out_channels[-1]
        attentions = self.attentions(channels, 1) if self.config.mid_block_add_attention else []
        return MovqMiddle(self.resnets(channels, channels, 2), attentions)

    def _group_norm(self, channels: int, activation: str | None = None) -> PlainNorm:
        return PlainNorm(self.config.norm_num_groups, channels, EPSILON, self.kernels, activation)

    def _spatial_norm(self, channels: int, activation: str | None = None) -> SpatialNorm:
        return SpatialNorm(channels, self.config.latent_channels, self.kernels, activation)


class MovqEncoder(nn.Cell):
    """(b, 3, h, w) → (b, latent_channels, h/scale, w/scale)."""

    def __init__(self, config: MovqConfig, kernels: Kernels) -> None:
        super().__init__()
        channels, parts = config.block_out_channels, _Parts(config, kernels, spatial=False)
        self.conv_in = Conv2d(config.in_channels, channels[0], 3, kernels)
        stages = []
        for index, kind in enumerate(config.down_block_types):
            count, out = config.layers_per_block, channels[index]
            stage = MovqStage(
                parts.resnets(channels[max(index - 1, 0)], out, count),
                parts.attentions(out, count) if kind == "AttnDownEncoderBlock2D" else [],
                downsample=Downsample(out, kernels) if index < len(channels) - 1 else None,
            )
            stages.append(stage)
        self.down_blocks = cells(stages)
        self.mid_block = parts.middle()
        self.conv_norm_out = parts.norm(channels[-1], "silu")
        self.conv_out = Conv2d(channels[-1], config.latent_channels, 3, kernels)

    def construct(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for stage in self.down_blocks:
            x = stage(x, None)
        return self.conv_out(self.conv_norm_out(self.mid_block(x, None), None))


class MovqDecoder(nn.Cell):
    """(b, latent_channels, h, w) and the latents that condition the norms → (b, 3, scale·h, scale·w)."""

    def __init__(self, config: MovqConfig, kernels: Kernels) -> None:
        super().__init__()
        channels = config.block_out_channels[::-1]
        parts = _Parts(config, kernels, spatial=config.norm_type == "spatial")
        self.conv_in = Conv2d(config.latent_channels, channels[0], 3, kernels)
        self.mid_block = parts.middle()
        stages = []
        for index, kind in enumerate(config.up_block_types):
            count, out = config.layers_per_block + 1, channels[index]
            stage = MovqStage(
                parts.resnets(channels[max(index - 1, 0)], out, count),
                parts.attentions(out, count) if kind == "AttnUpDecoderBlock2D" else [],
                upsample=Upsample(out, kernels) if index < len(channels) - 1 else None,
            )
            stages.append(stage)
        self.up_blocks = cells(stages)
        self.conv_norm_out = parts.norm(channels[-1], "silu")
        self.conv_out = Conv2d(channels[-1], config.out_channels, 3, kernels)

    def construct(self, x: Tensor, latents: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x), latents)
        for stage in self.up_blocks:
            x = stage(x, latents)
        return self.conv_out(self.conv_norm_out(x, latents))


class Quantiser(nn.Cell):
    """Replaces every latent position by the nearest vector of a codebook: (b, c, h, w) → (b, c, h, w)."""

    def __init__(self, config: MovqConfig) -> None:
        super().__init__()
        self.embedding = Embedding(config.num_vq_embeddings, config.embed_dim)
        self.scores = ops.MatMul(transpose_b=True)

    def construct(self, latents: Tensor) -> Tensor:
        b, c, h, w = latents.shape
        # (b, c, h, w) → (b·h·w, c)
        rows = latents.transpose(0, 2, 3, 1).reshape(-1, c)
        codes = self.embedding.weight
        # argmin |row - code|² = argmax (row · code - |code|²/2)
        nearest = ops.argmax(self.scores(rows, codes) - ops.sum(ops.square(codes), 1) / 2, 1)
        return self.embedding(nearest.astype(ms.int32)).reshape(b, h, w, c).transpose(0, 3, 1, 2)


class Movq(nn.Cell):
    """Pictures to latents (`encode`) and back (`decode`).

    Pictures are (b, 3, h, w) in −1 … 1, h and w multiples of `config.scale`; latents are (b, embed_dim, h/scale,
    w/scale), as they come, without a scaling factor.
    """

    def __init__(self, config: MovqConfig, kernels: Kernels) -> None:
        super().__init__()
        self.encoder = MovqEncoder(config, kernels)
        self.quant_conv = Conv2d(config.latent_channels, config.embed_dim, 1, kernels)
        self.quantize = Quantiser(config)
        self.post_quant_conv = Conv2d(config.embed_dim, config.latent_channels, 1, kernels)
        self.decoder = MovqDecoder(config, kernels)

    def encode(self, image: Tensor) -> Tensor:
        """Latents of a picture, not quantised: (b, 3, h, w) → (b, embed_dim, h/scale, w/scale)."""
        return self.quant_conv(self.encoder(image))

    def decode(self, latents: Tensor) -> Tensor:
        """Picture of latents, not quantised: (b, embed_dim, h, w) → (b, 3, scale·h, scale·w), about −1 … 1."""
        return self.decoder(self.post_quant_conv(latents), latents)

    def quantise(self, latents: Tensor) -> Tensor:
        """Latents with every position replaced by its codebook vector, same shape."""
        return self.quantize(latents)

    def construct(self, image: Tensor) -> Tensor:
        return self.decode(self.quantise(self.encode(image)))
