"""The operators as cells that fall back to the plain ones.

Each cell is called as the entry of `kandinsky.ops.Kernels` that it stands for, and takes the plain path wherever its
operator does not apply. Measured against the plain operators in docs/performance.md.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

_LANES = 16
# The activations that operators know, by the number they know them by.
_KINDS = {"silu": 0, "swish": 0, "gelu": 1, "quick_gelu": 2}


class PackedConvolution(nn.Cell):
    """(x (b, c_in, h, w), packed weights, bias (c_out,), what is added or None) → (b, c_out, h, w)."""

    def __init__(self, library: Path) -> None:
        super().__init__()
        self.operator = _custom(library, "Convolution", _convolved_shape)

    def construct(self, x: Tensor, packed: Tensor, bias: Tensor, residual: Tensor | None) -> Tensor:
        if residual is None:
            return self.operator(x, packed, bias)
        return self.operator(x, packed, bias, residual)


class DirectConvolution(nn.Cell):
    """`Kernels.conv2d` in float32 with a bias, where it keeps the size; for what is not worth transforming weights."""

    def __init__(self, library: Path, plain: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operator = _custom(library, "DirectConvolution", _convolved_shape)
        self.plain = plain

    def construct(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: tuple[int, int, int, int],
        residual: Tensor | None,
    ) -> Tensor:
        c_out, c_in, kernel, _ = weight.shape
        same = stride == 1 and kernel % 2 == 1 and padding == ((kernel - 1) // 2,) * 4
        if bias is None or not same or x.dtype != ms.float32 or min(c_in, c_out) < _LANES:
            return self.plain(x, weight, bias, stride, padding, residual)
        if residual is None:
            return self.operator(x, weight, bias)
        return self.operator(x, weight, bias, residual)


class PackedLinear(nn.Cell):
    """(x (…, in), packed weights (out, in), bias (out,), what is added (…, out) or None) → (…, out)."""

    def __init__(self, library: Path) -> None:
        super().__init__()
        self.operator = _custom(library, "Linear", _linear_shape)

    def construct(self, x: Tensor, packed: Tensor, bias: Tensor, residual: Tensor | None) -> Tensor:
        if residual is None:
            return self.operator(x, packed, bias)
        return self.operator(x, packed, bias, residual)


class SharedActivation(nn.Cell):
    """`Kernels.activate` in float32, but for ReLU."""

    def __init__(self, library: Path, plain: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operator = _custom(library, "Activation", _first_shape)
        self.plain = plain

    def construct(self, x: Tensor, name: str) -> Tensor:
        if x.dtype != ms.float32 or name not in _KINDS:
            return self.plain(x, name)
        return self.operator(x, Tensor([_KINDS[name]], ms.float32))


class FusedGroupNorm(nn.Cell):
    """`Kernels.group_norm` in float32."""

    def __init__(self, library: Path, plain: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operator = _custom(library, "GroupNorm", _first_shape)
        self.plain = plain

    def construct(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        groups: int,
        epsilon: float,
        scale: Tensor | None,
        shift: Tensor | None,
        activation: str | None,
    ) -> Tensor:
        if x.dtype != ms.float32 or not _is_fused(activation):
            return self.plain(x, weight, bias, groups, epsilon, scale, shift, activation)
        if scale is None or shift is None:
            scale = shift = ops.zeros((x.shape[0], x.shape[1]), ms.float32)
        return self.operator(x, weight, bias, scale, shift, _norm_settings(groups, epsilon, activation))


class FusedSpatialNorm(nn.Cell):
    """`Kernels.spatial_norm` in float32."""

    def __init__(self, library: Path, plain: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operator = _custom(library, "SpatialNorm", _first_shape)
        self.plain = plain

    def construct(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        groups: int,
        epsilon: float,
        scale: Tensor,
        shift: Tensor,
        activation: str | None,
    ) -> Tensor:
        if x.dtype != ms.float32 or not _is_fused(activation):
            return self.plain(x, weight, bias, groups, epsilon, scale, shift, activation)
        return self.operator(x, weight, bias, scale, shift, _norm_settings(groups, epsilon, activation))


class SharedLayerNorm(nn.Cell):
    """`Kernels.layer_norm` in float32."""

    def __init__(self, library: Path, plain: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operator = _custom(library, "LayerNorm", _first_shape)
        self.plain = plain

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        if x.dtype != ms.float32:
            return self.plain(x, weight, bias, epsilon)
        return self.operator(x, weight, bias, Tensor([epsilon], ms.float32))


class BlockedAttention(nn.Cell):
    """`Kernels.attention` in float32, for heads whose width is a multiple of 16."""

    def __init__(self, library: Path, plain: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operator = _custom(library, "Attention", _first_shape)
        self.plain = plain

    def construct(self, query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None) -> Tensor:
        if query.dtype != ms.float32 or query.shape[2] // heads % _LANES != 0:
            return self.plain(query, key, value, heads, bias)
        settings = Tensor([heads], ms.float32)
        if bias is None:
            return self.operator(query, key, value, settings)
        return self.operator(query, key, value, settings, bias)


def _is_fused(activation: str | None) -> bool:
    return activation is None or activation in ("silu", "swish")


def _norm_settings(groups: int, epsilon: float, activation: str | None) -> Tensor:
    return Tensor([groups, epsilon, 0.0 if activation is None else 1.0], ms.float32)


def _custom(library: Path, name: str, shape: Callable[..., Any]) -> Any:
    return ops.Custom(f"{library}:{name}", shape, _float32, func_type="aot")


def _first_shape(first: list[int], *others: list[int]) -> list[int]:  # noqa: ARG001 - the operators' shapes are all passed
    return first


def _convolved_shape(x: list[int], weights: list[int], bias: list[int], *others: list[int]) -> list[int]:  # noqa: ARG001 - likewise
    return [x[0], bias[0], x[2], x[3]]


def _linear_shape(x: list[int], weights: list[int], *others: list[int]) -> list[int]:  # noqa: ARG001 - likewise
    return [*x[:-1], weights[0]]


def _float32(*dtypes: Any) -> Any:  # noqa: ARG001 - likewise
    return ms.float32
