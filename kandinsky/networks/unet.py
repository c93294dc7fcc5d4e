"""Kandinsky 2.1's UNet: predicts the noise in latents, given time, text and an image embedding.

Source: diffusers' UNet2DConditionModel with the block types, `text_image` addition embedding and `text_image_proj`
projection of Kandinsky 2.1 (arXiv:2310.03502). The work is split in two: `condition` computes what does not depend on
the timestep, once a request; a call computes one step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mindspore import Tensor, nn, ops

from kandinsky.networks.added_kv_attention import AttentionShape
from kandinsky.networks.layers import Conv2d, GroupNorm, LayerNorm, Linear, TimestepEmbedding, cells
from kandinsky.networks.resnet import ResnetShape
from kandinsky.networks.unet_blocks import DownBlock, MidBlock, TextKeyValues, UpBlock
from kandinsky.networks.unet_config import UNetConfig
from kandinsky.ops import Kernels

# Tokens that the image embedding is spread over in front of the text (diffusers' TextImageProjection).
_IMAGE_TOKENS = 10


@dataclass(frozen=True)
class _Blocks:
    """Builds the block shapes from a config."""

    config: UNetConfig

    def resnet(self, output_scale: float) -> ResnetShape:
        config = self.config
        return ResnetShape(
            config.time_dim,
            config.norm_num_groups,
            config.norm_eps,
            config.act_fn,
            config.resnet_time_scale_shift == "scale_shift",
            output_scale,
        )

    def attention(self, channels: int, head_dim: int, only_text: bool) -> AttentionShape:
        config = self.config
        return AttentionShape(channels, head_dim, config.cross_attention_dim, config.norm_num_groups, only_text)


class TextImageTimeEmbedding(nn.Cell):
    """What text and image embedding add to the time embedding: twice (b, text_channels) → (b, time_channels)."""

    def __init__(self, config: UNetConfig, kernels: Kernels) -> None:
        super().__init__()
        self.text_proj = Linear(config.cross_attention_dim, config.time_dim, kernels)
        self.text_norm = LayerNorm(config.time_dim, kernels)
        self.image_proj = Linear(config.cross_attention_dim, config.time_dim, kernels)

    def construct(self, text_embeds: Tensor, image_embeds: Tensor) -> Tensor:
        return self.image_proj(image_embeds) + self.text_norm(self.text_proj(text_embeds))


class TextImageProjection(nn.Cell):
    """The context of attention: image tokens, then text tokens → (b, 10 + n, cross_attention_dim)."""

    def __init__(self, config: UNetConfig, kernels: Kernels) -> None:
        super().__init__()
        width = config.cross_attention_dim
        self.image_embeds = Linear(width, _IMAGE_TOKENS * width, kernels)
        self.text_proj = Linear(config.encoder_hid_dim, width, kernels)

    def construct(self, text_hidden_states: Tensor, image_embeds: Tensor) -> Tensor:
        b = image_embeds.shape[0]
        image_tokens = self.image_embeds(image_embeds).reshape(b, _IMAGE_TOKENS, -1)
        return ops.cat((image_tokens, self.text_proj(text_hidden_states)), 1)


class UNet(nn.Cell):
    """One evaluation of the noise predictor.

    Args of a call:
        sample: (b, in_channels, h, w); h and w are multiples of `size_multiple`.
        timestep: (b,), 0 … 999, each row its own.
        added: (b, time_channels), from `condition`.
        text: keys and values of every attention layer, from `condition`.

    Returns:
        (b, out_channels, h, w): the noise, and in Kandinsky's own a variance behind it.
    """

    def __init__(self, config: UNetConfig, kernels: Kernels) -> None:
        super().__init__()
        channels = config.block_out_channels
        self.size_multiple = 2 ** (len(channels) - 1)
        self.conv_in = Conv2d(config.in_channels, channels[0], config.conv_in_kernel, kernels)
        self.time_embedding = TimestepEmbedding(
            channels[0],
            config.time_dim,
            config.time_dim,
            kernels,
            flip_sin_to_cos=config.flip_sin_to_cos,
            frequency_shift=config.freq_shift,
            activation=config.act_fn,
        )
        self.encoder_hid_proj = TextImageProjection(config, kernels)
        self.add_embedding = TextImageTimeEmbedding(config, kernels)
        self.down_blocks = cells(_down_blocks(config, kernels))
        self.mid_block = MidBlock(
            channels[-1],
            _Blocks(config).resnet(config.mid_block_scale_factor),
            _Blocks(config).attention(channels[-1], config.head_dims[-1], config.mid_block_only_text),
            kernels,
        )
        self.up_blocks = cells(_up_blocks(config, kernels))
        self.conv_norm_out = GroupNorm(config.norm_num_groups, channels[0], config.norm_eps, kernels, config.act_fn)
        self.activate, self.activation = kernels.activation(config.act_fn)
        self.skip_time_activation = config.resnet_skip_time_act
        self.conv_out = Conv2d(channels[0], config.out_channels, config.conv_out_kernel, kernels)
        _tell_places(self.down_blocks, self.mid_block, self.up_blocks)

    def condition(
        self, text_hidden_states: Tensor, text_embeds: Tensor, image_embeds: Tensor
    ) -> tuple[Tensor, TextKeyValues]:
        """Compute everything that does not depend on the timestep.

        Args:
            text_hidden_states: (b, n, encoder_hid_dim).
            text_embeds: (b, cross_attention_dim).
            image_embeds: (b, cross_attention_dim).

        Returns:
            added: (b, time_channels).
            text: a key and a value, each (b, 10 + n, channels), for every attention layer in order of use.
        """
        context = self.encoder_hid_proj(text_hidden_states, image_embeds)
        text: TextKeyValues = ()
        for block in (*self.down_blocks, self.mid_block, *self.up_blocks):
            if block.attentions is not None:
                for attention in block.attentions:
                    text = text + attention.text_key_value(context)
        return self.add_embedding(text_embeds, image_embeds), text

    def construct(self, sample: Tensor, timestep: Tensor, added: Tensor, text: TextKeyValues) -> Tensor:
        time = self.time_embedding(timestep) + added
        if not self.skip_time_activation:  # what every residual block would do to it
            time = self.activate(time, self.activation)
        x = self.conv_in(sample)
        skips = (x,)
        for block in self.down_blocks:
            x, states = block(x, time, text)
            skips = skips + states
        x = self.mid_block(x, time, text)
        for block in self.up_blocks:
            x = block(x, time, text, skips)
        return self.conv_out(self.conv_norm_out(x))


def _tell_places(down: Sequence[DownBlock], middle: MidBlock, up: Sequence[UpBlock]) -> None:
    """Tell blocks where their keys and values, and the states that they join, begin."""
    text, last = 0, 0
    blocks: list[DownBlock | MidBlock | UpBlock] = [*down, middle, *up]
    for block in blocks:
        block.first_text = text
        text += 0 if block.attentions is None else 2 * len(block.attentions)
    for lower in down:
        last += len(lower.resnets) + (0 if lower.downsamplers is None else 1)
    for upper in up:
        upper.first_skip = last
        last -= len(upper.resnets)


def _down_blocks(config: UNetConfig, kernels: Kernels) -> list[DownBlock]:
    channels, shapes = config.block_out_channels, _Blocks(config)
    blocks = []
    for index, kind in enumerate(config.down_block_types):
        attention = shapes.attention(channels[index], config.head_dims[index], config.only_cross_attention)
        block = DownBlock(
            channels[max(index - 1, 0)],
            channels[index],
            config.layers[index],
            shapes.resnet(config.resnet_out_scale_factor),
            attention if kind == "SimpleCrossAttnDownBlock2D" else None,
            kernels,
            downsample=index < len(channels) - 1,
        )
        blocks.append(block)
    return blocks


def _up_blocks(config: UNetConfig, kernels: Kernels) -> list[UpBlock]:
    channels, shapes = config.block_out_channels[::-1], _Blocks(config)
    head_dims, last = config.head_dims[::-1], len(config.block_out_channels) - 1
    blocks = []
    for index, kind in enumerate(config.up_block_types):
        previous, out = channels[max(index - 1, 0)], channels[index]
        # The last state of the down path that a block joins comes from the level above it.
        skips = [out] * config.layers[::-1][index] + [channels[min(index + 1, last)]]
        inputs = [previous + skips[0], *(out + skip for skip in skips[1:])]
        attention = shapes.attention(out, head_dims[index], config.only_cross_attention)
        block = UpBlock(
            inputs,
            out,
            shapes.resnet(config.resnet_out_scale_factor),
            attention if kind == "SimpleCrossAttnUpBlock2D" else None,
            kernels,
            upsample=index < last,
        )
        blocks.append(block)
    return blocks
