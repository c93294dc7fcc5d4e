"""The residual block of the UNet, conditioned on time, with the up- and downsampling that sits inside it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mindspore import Tensor, nn

from kandinsky.networks.layers import (
    Conv2d,
    GroupNorm,
    Linear,
    ResidualConv2d,
    ScaledGroupNorm,
    ShiftedGroupNorm,
    unchanged,
)
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


def _double(x: Tensor) -> Tensor:
    return upsample_nearest(x, 2)


_RESAMPLE: Mapping[str, Callable[[Tensor], Tensor]] = {"": unchanged, "up": _double, "down": downsample_average}


class Quotient(nn.Cell):
    """x / divisor."""

    def __init__(self, divisor: float) -> None:
        super().__init__()
        self.divisor = divisor

    def construct(self, x: Tensor) -> Tensor:
        return x / self.divisor


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
        scaled = ScaledGroupNorm if shape.scale_shift else ShiftedGroupNorm
        self.norm1 = GroupNorm(shape.groups, in_channels, shape.epsilon, kernels, shape.activation)
        self.conv1 = Conv2d(in_channels, out_channels, 3, kernels)
        self.time_emb_proj = Linear(shape.time_channels, out_channels * (2 if shape.scale_shift else 1), kernels)
        self.norm2 = scaled(shape.groups, out_channels, shape.epsilon, kernels, shape.activation)
        self.conv2 = ResidualConv2d(out_channels, out_channels, 3, kernels)
        self.conv_shortcut = Conv2d(in_channels, out_channels, 1, kernels) if in_channels != out_channels else unchanged
        self.resample = _RESAMPLE[resample]
        self.rescale = unchanged if shape.output_scale == 1.0 else Quotient(shape.output_scale)

    def construct(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = self.conv1(self.resample(self.norm1(x)))
        hidden = self.norm2(hidden, self.time_emb_proj(time))
        return self.rescale(self.conv2(hidden, self.conv_shortcut(self.resample(x))))
