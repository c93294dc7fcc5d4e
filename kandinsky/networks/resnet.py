"""The residual block of the UNet, conditioned on time, with the up- and downsampling that sits inside it."""

from dataclasses import dataclass

from mindspore import Tensor, nn, ops

from kandinsky.networks.layers import Conv2d, GroupNorm, Linear
from kandinsky.ops import Kernels, downsample_average, upsample_nearest


@dataclass(frozen=True)
class ResnetShape:
    """What all residual blocks of a UNet share."""

    time_channels: int
    groups: int
    epsilon: float
    activation: str
    scale_shift: bool
    output_scale: float


class ResnetBlock(nn.Cell):
    """Norm, activation, convolution, twice; time enters by scale and shift, or by addition, at the second norm.

    Source: diffusers' ResnetBlock2D (BigGAN blocks of arXiv:2105.05233).

    Args of a call:
        x: (b, in_channels, h, w).
        time: (b, time_channels), activated.

    Returns:
        (b, out_channels, h', w'); h' is 2h, h/2 or h for resample "up", "down" or "".
    """

    def __init__(
        self, in_channels: int, out_channels: int, shape: ResnetShape, kernels: Kernels, resample: str = ""
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(shape.groups, in_channels, shape.epsilon, kernels)
        self.conv1 = Conv2d(in_channels, out_channels, 3, kernels)
        self.time_emb_proj = Linear(shape.time_channels, out_channels * (2 if shape.scale_shift else 1), kernels)
        self.norm2 = GroupNorm(shape.groups, out_channels, shape.epsilon, kernels)
        self.conv2 = Conv2d(out_channels, out_channels, 3, kernels)
        self.conv_shortcut = Conv2d(in_channels, out_channels, 1, kernels) if in_channels != out_channels else None
        self.activation = shape.activation
        self.scale_shift = shape.scale_shift
        self.output_scale = shape.output_scale
        self.resample = resample

    def construct(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = self.norm1(x, None, None, self.activation)
        if self.resample == "up":
            x, hidden = upsample_nearest(x, 2), upsample_nearest(hidden, 2)
        elif self.resample == "down":
            x, hidden = downsample_average(x), downsample_average(hidden)
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        x = self.conv2(self._time_conditioned(self.conv1(hidden), time), x)
        return x if self.output_scale == 1.0 else x / self.output_scale

    def _time_conditioned(self, hidden: Tensor, time: Tensor) -> Tensor:
        # (b, time_channels) → (b, c or 2c)
        time = self.time_emb_proj(time)
        if not self.scale_shift:
            return self.norm2(hidden + time.expand_dims(2).expand_dims(3), None, None, self.activation)
        scale, shift = ops.chunk(time, 2, 1)
        return self.norm2(hidden, scale, shift, self.activation)
