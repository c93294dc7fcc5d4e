"""The blocks of MoVQ's encoder and decoder.

In the encoder a norm is a plain group norm; in the decoder it is conditioned on the latents at its place
(arXiv:2209.09002). Both are used through one call, `norm(x, latents)`, so that one residual block serves both.
"""

from collections.abc import Callable

from mindspore import Tensor, nn

from kandinsky.networks.layers import Conv2d, GroupNorm, Linear, ResidualConv2d, cells, unchanged
from kandinsky.ops import Kernels, upsample_nearest

EPSILON = 1e-6
# diffusers' SpatialNorm has 32 groups whatever norm_num_groups says.
SPATIAL_GROUPS = 32

MakeNorm = Callable[[int, str | None], nn.Cell]
"""Builds the norm for a number of channels, with the activation that follows it, if any."""


class PlainNorm(GroupNorm):
    """Group norm that takes, and does not look at, the latents."""

    def construct(self, x: Tensor, latents: Tensor | None) -> Tensor:  # type: ignore[override]  # noqa: ARG002 - one call for both norms
        return self.normalise(x, self.weight, self.bias, self.settings)


class SpatialNorm(nn.Cell):
    """Group norm scaled and shifted, place by place, by the latents.

    diffusers enlarges the latents and then convolves 1 × 1; a 1 × 1 convolution commutes with repeating pixels, so the
    convolution is done at the latents' size.

    Args of a call:
        x: (b, channels, f·h, f·w), f a whole number.
        latents: (b, latent_channels, h, w).
    """

    def __init__(self, channels: int, latent_channels: int, kernels: Kernels, activation: str | None = None) -> None:
        super().__init__()
        self.norm_layer = GroupNorm(SPATIAL_GROUPS, channels, EPSILON, kernels)
        self.conv_y = Conv2d(latent_channels, channels, 1, kernels)
        self.conv_b = Conv2d(latent_channels, channels, 1, kernels)
        self.normalise, self.settings = kernels.spatial_norm(SPATIAL_GROUPS, EPSILON, activation)

    def construct(self, x: Tensor, latents: Tensor) -> Tensor:
        norm, scale, shift = self.norm_layer, self.conv_y(latents), self.conv_b(latents)
        return self.normalise(x, norm.weight, norm.bias, scale, shift, self.settings)


class MovqResnet(nn.Cell):
    """Norm, activation, convolution, twice, around a residual: (b, in_channels, h, w) → (b, out_channels, h, w)."""

    def __init__(
        self, in_channels: int, out_channels: int, activation: str, make_norm: MakeNorm, kernels: Kernels
    ) -> None:
        super().__init__()
        self.norm1 = make_norm(in_channels, activation)
        self.conv1 = Conv2d(in_channels, out_channels, 3, kernels)
        self.norm2 = make_norm(out_channels, activation)
        self.conv2 = ResidualConv2d(out_channels, out_channels, 3, kernels)
        self.conv_shortcut = Conv2d(in_channels, out_channels, 1, kernels) if in_channels != out_channels else unchanged

    def construct(self, x: Tensor, latents: Tensor | None) -> Tensor:
        hidden = self.conv1(self.norm1(x, latents))
        return self.conv2(self.norm2(hidden, latents), self.conv_shortcut(x))


class MovqAttention(nn.Cell):
    """Single-head self-attention over positions, around a residual: (b, c, h, w) → (b, c, h, w).

    Exactly one of the two norms stands in front; the checkpoints name them apart.
    """

    def __init__(
        self, channels: int, group_norm: PlainNorm | None, spatial_norm: SpatialNorm | None, kernels: Kernels
    ) -> None:
        super().__init__()
        self.group_norm = group_norm
        self.spatial_norm = spatial_norm
        self.to_q = Linear(channels, channels, kernels)
        self.to_k = Linear(channels, channels, kernels)
        self.to_v = Linear(channels, channels, kernels)
        self.to_out = cells([Linear(channels, channels, kernels)])
        self.channels = channels
        self.attend, self.settings = kernels.attention(1)

    def construct(self, x: Tensor, latents: Tensor | None) -> Tensor:
        normed = x
        if self.group_norm is not None:
            normed = self.group_norm(x, latents)
        if self.spatial_norm is not None:
            normed = self.spatial_norm(x, latents)
        # (b, c, h, w) → (b, h·w, c)
        tokens = normed.reshape(x.shape[0], self.channels, -1).transpose(0, 2, 1)
        mixed = self.to_out[0](self.attend(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens), self.settings))
        return x + mixed.transpose(0, 2, 1).reshape(x.shape)


class Downsample(nn.Cell):
    """A strided 3 × 3 convolution, padded on the right and below only: (b, c, h, w) → (b, c, h/2, w/2)."""

    def __init__(self, channels: int, kernels: Kernels) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, kernels, stride=2, padding=(0, 1, 0, 1))

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Cell):
    """Repeat pixels, then convolve 3 × 3: (b, c, h, w) → (b, c, 2h, 2w)."""

    def __init__(self, channels: int, kernels: Kernels) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, kernels)

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(upsample_nearest(x, 2))


class MovqStage(nn.Cell):
    """Residual blocks, each with attention where the stage has it, then a halving, a doubling, or neither."""

    def __init__(
        self,
        resnets: list[MovqResnet],
        attentions: list[MovqAttention],
        *,
        downsample: Downsample | None = None,
        upsample: Upsample | None = None,
    ) -> None:
        super().__init__()
        self.resnets = cells(resnets)
        self.attentions = cells(attentions) if attentions else None
        self.downsamplers = cells([downsample]) if downsample else None
        self.upsamplers = cells([upsample]) if upsample else None

    def construct(self, x: Tensor, latents: Tensor | None) -> Tensor:
        for index, resnet in enumerate(self.resnets):
            x = resnet(x, latents)
            if self.attentions is not None:
                x = self.attentions[index](x, latents)
        if self.downsamplers is not None:
            x = self.downsamplers[0](x)
        if self.upsamplers is not None:
            x = self.upsamplers[0](x)
        return x


class MovqMiddle(nn.Cell):
    """Residual block, attention, residual block: (b, c, h, w) → (b, c, h, w)."""

    def __init__(self, resnets: list[MovqResnet], attentions: list[MovqAttention]) -> None:
        super().__init__()
        self.resnets = cells(resnets)
        self.attentions = cells(attentions) if attentions else None

    def construct(self, x: Tensor, latents: Tensor | None) -> Tensor:
        x = self.resnets[0](x, latents)
        if self.attentions is not None:
            x = self.attentions[0](x, latents)
        return self.resnets[1](x, latents)
