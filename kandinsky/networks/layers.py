"""The small cells that every network is made of. Parameter names and layouts are those of the checkpoints."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from kandinsky.cpu_kernels.packing import is_same, packs, packs_linear
from kandinsky.memory import at_a_line
from kandinsky.ops import Kernels
from kandinsky.parameters import assign, holding, parameter


class Linear(nn.Cell):
    """y = x · weightᵀ + bias over the last axis: (…, in_features) → (…, out_features)."""

    def __init__(self, in_features: int, out_features: int, kernels: Kernels, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = parameter(out_features, in_features)
        self.bias = parameter(out_features) if bias else None
        self.multiply: Callable[..., Tensor] = kernels.linear
        self.fast = kernels.fast

    def pack(self) -> None:
        """Lay the weights out for the device's fast path, if there is one for them. Once they are loaded."""
        if self.fast is None or self.bias is None or not packs_linear(self.weight):
            return
        weights = at_a_line(self.weight.asnumpy())
        assign(self.weight, weights)
        self.fast.packer.linear(weights)
        self.multiply = self.fast.linear

    def construct(self, x: Tensor) -> Tensor:
        return self.multiply(x, self.weight, self.bias)


class ResidualLinear(Linear):
    """The same, added to a residual (…, out_features)."""

    def construct(self, x: Tensor, residual: Tensor) -> Tensor:  # type: ignore[override]  # a layer of two inputs
        return self.multiply(x, self.weight, self.bias, residual)


class Conv2d(nn.Cell):
    """A k × k convolution: (b, in_channels, h, w) → (b, out_channels, h', w').

    padding is given for each side (top, bottom, left, right); by default it keeps the size.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        kernels: Kernels,
        *,
        stride: int = 1,
        padding: tuple[int, int, int, int] | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = parameter(out_channels, in_channels, kernel, kernel)
        self.bias = parameter(out_channels) if bias else None
        self.convolve: Callable[..., Tensor] = kernels.conv2d
        self.settings: Any = (stride, ((kernel - 1) // 2,) * 4 if padding is None else padding)
        self.fast = kernels.fast

    def pack(self) -> None:
        """Lay the weights out for the device's fast path, if there is one for them. Once they are loaded."""
        if self.fast is None or self.bias is None or not is_same(self.weight, *self.settings):
            return
        self.convolve = self.fast.convolution
        self.settings = self.fast.not_packed
        if packs(self.weight):
            self.settings = holding(self.fast.packer.convolution(self.weight.asnumpy()))

    def construct(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias, self.settings)


class ResidualConv2d(Conv2d):
    """The same, added to a residual (b, out_channels, h', w')."""

    def construct(self, x: Tensor, residual: Tensor) -> Tensor:  # type: ignore[override]  # likewise
        return self.convolve(x, self.weight, self.bias, self.settings, residual)


class GroupNorm(nn.Cell):
    """Group normalisation over (c/groups, …) with a scale and a shift a channel (arXiv:1803.08494).

    (b, c, …) → the same; the activation, if any, comes last.
    """

    def __init__(
        self, groups: int, channels: int, epsilon: float, kernels: Kernels, activation: str | None = None
    ) -> None:
        super().__init__()
        self.weight = parameter(channels)
        self.bias = parameter(channels)
        self.normalise, self.settings = kernels.group_norm(groups, epsilon, activation)

    def construct(self, x: Tensor) -> Tensor:
        return self.normalise(x, self.weight, self.bias, self.settings)


class ScaledGroupNorm(GroupNorm):
    """The same, times 1 + the first half of time (b, 2c), plus its second half, before the activation."""

    def construct(self, x: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]  # a norm of two inputs
        return self.normalise(x, self.weight, self.bias, self.settings, time)


class ShiftedGroupNorm(GroupNorm):
    """The same, of x plus time (b, c)."""

    def construct(self, x: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]  # likewise
        x = x + time.expand_dims(2).expand_dims(3)
        return self.normalise(x, self.weight, self.bias, self.settings)


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis with scale and shift (arXiv:1607.06450)."""

    def __init__(self, width: int, kernels: Kernels, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = parameter(width)
        self.bias = parameter(width)
        self.normalise, self.settings = kernels.layer_norm(epsilon)

    def construct(self, x: Tensor) -> Tensor:
        return self.normalise(x, self.weight, self.bias, self.settings)


class Embedding(nn.Cell):
    """Rows of a table: (…) integers → (…, width)."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = parameter(rows, width)

    def construct(self, index: Tensor) -> Tensor:
        return ops.gather(self.weight, index, 0)


class Nothing(nn.Cell):
    """Stands where the checkpoints number a layer without weights (dropout), so that the names agree."""

    def construct(self, x: Tensor) -> Tensor:
        return x


def unchanged(x: Tensor) -> Tensor:
    """Stands where a layer has nothing to do."""
    return x


class TimestepEmbedding(nn.Cell):
    """Sinusoidal features of a timestep through two linear layers: (b,) → (b, out_features).

    Source: Denoising Diffusion Probabilistic Models (arXiv:2006.11239), in the form of diffusers'
    get_timestep_embedding followed by TimestepEmbedding.

    Args:
        features: how many sines and cosines; even.
        hidden: width between the two layers.
        out_features: width of the result.
        flip_sin_to_cos: cosines first.
        frequency_shift: what the exponent's denominator is lowered by.
        activation: between the two layers.
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        out_features: int,
        kernels: Kernels,
        *,
        flip_sin_to_cos: bool,
        frequency_shift: float,
        activation: str,
    ) -> None:
        super().__init__()
        half = features // 2
        exponent = -math.log(10000) * np.arange(half, dtype=np.float32) / np.float32(half - frequency_shift)
        self.frequencies = Tensor(np.exp(exponent.astype(np.float32)).reshape(1, -1))
        self.flip_sin_to_cos = flip_sin_to_cos
        self.linear_1 = Linear(features, hidden, kernels)
        self.linear_2 = Linear(hidden, out_features, kernels)
        self.activate, self.activation = kernels.activation(activation)

    def construct(self, timestep: Tensor) -> Tensor:
        angle = timestep.astype(ms.float32).reshape(-1, 1) * self.frequencies
        halves = (ops.cos(angle), ops.sin(angle)) if self.flip_sin_to_cos else (ops.sin(angle), ops.cos(angle))
        wave = ops.cat(halves, 1).astype(self.linear_1.weight.dtype)
        return self.linear_2(self.activate(self.linear_1(wave), self.activation))


def cells(items: Sequence[nn.Cell]) -> nn.CellList:
    """A list of cells whose parameters are named by their index, as torch's ModuleList names them."""
    return nn.CellList(list(items))
