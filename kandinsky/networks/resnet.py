"""The residual block of the UNet, conditioned on time, with the up- and downsampling that sits inside it."""

from dataclasses import dataclass

from mindspore import Tensor, nn, ops

from kandinsky.networks.layers import ACTIVATIONS, Conv2d, GroupNorm, Linear
from kandinsky.ops import Kernels, downsample_average, upsample_nearest


@dataclass(frozen=True)
class ResnetShape:
    """What all residual blocks of a UNet share."""

    time_channels: int
    groups: int
    epsilon: float
    activation: str
    scale_shift: bool
    skip_time_activation: bool
    output_scale: float


class ResnetBlock(nn.Cell):
    """Norm, activation, convolution, twice; time enters by scale and shift, or by addition, at the second norm.

    Source: diffusers' ResnetBlock2D (BigGAN blocks of arXiv:2105.05233).

    Args of a call:
        x: (b, in_channels, h, w).
        time: (b, time_channels).

    Returns:
        (b, out_channels, h', w'); h' is 2h, h/2 or h for resample "up", "down" or "".
    """

    def __init__(
        self, in_channels: int, out_channels: int, shape: ResnetShape, kernels: Kernels, resample: str = ""
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(shape.groups, in_channels, shape.epsilon, kernels)
        self.conv1 = Conv2d(in_channels, out_channels, 3, kernels)
        self.time_emb_proj = Linear(shape.time_channels, out_channels * (2 if shape.scale_shift else 1))
        self.norm2 = GroupNorm(shape.groups, out_channels, shape.epsilon, kernels)
        self.conv2 = Conv2d(out_channels, out_channels, 3, kernels)
        self.conv_shortcut = Conv2d(in_channels, out_channels, 1, kernels) if in_channels != out_channels else None
        self.activate = ACTIVATIONS[shape.activation]
        self.silu = self.activate is ops.silu
        self.scale_shift = shape.scale_shift
        self.skip_time_activation = shape.skip_time_activation
        self.output_scale = shape.output_scale
        self.resample = resample

    def construct(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = self._activated(self.norm1, x, None, None)
        if self.resample == "up":
            x, hidden = upsample_nearest(x, 2), upsample_nearest(hidden, 2)
        elif self.resample == "down":
            x, hidden = downsample_average(x), downsample_average(hidden)
        hidden = self.conv2(self._time_conditioned(self.conv1(hidden), time))
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        x = x + hidden
        return x if self.output_scale == 1.0 else x / self.output_scale

    def _time_conditioned(self, hidden: Tensor, time: Tensor) -> Tensor:
        time = time if self.skip_time_activation else self.activate(time)
        # (b, time_channels) → (b, c or 2c)
        time = self.time_emb_proj(time)
        if not self.scale_shift:
            return self._activated(self.norm2, hidden + time.expand_dims(2).expand_dims(3), None, None)
        scale, shift = ops.chunk(time, 2, 1)
        return self._activated(self.norm2, hidden, scale, shift)

    def _activated(self, norm: GroupNorm, x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        if self.silu:
            return norm(x, scale, shift, True)
        return self.activate(norm(x, scale, shift, False))
