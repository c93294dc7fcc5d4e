"""The C++ operators as MindSpore knows them, and which of a network's layers they take.

A layer's call is a call of its operator and nothing else: every function, cell and branch in between is parsed and
typed again for each layer that goes through it, and that is most of what compiling a network takes.
"""

from collections.abc import Callable, Mapping
from typing import Any

import mindspore as ms
from mindspore import Tensor, ops

from kandinsky.cpu_kernels.library import Library
from kandinsky.cpu_kernels.packing import Packer

# The activations that operators know, by the number they know them by.
_KINDS: Mapping[str, int] = {"silu": 0, "swish": 0, "gelu": 1, "quick_gelu": 2}
_FUSED = (None, "silu", "swish")


class Operators:
    """The operators of a library. What they are told besides weights is a tensor, made once a layer.

    Attributes:
        convolution: (x (b, c_in, h, w), weights, bias (c_out,), packed weights or `not_packed`, and, if any, a
            residual) → (b, c_out, h, w).
        linear: (x (…, in), packed weights (out, in), bias (out,), and, if any, a residual) → (…, out).
        library: whose they are.
        not_packed: stands for packed weights where there are none.
        packer: lays weights out.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.convolution = _custom(library, "SameConvolution", _convolved_shape)
        self.linear = _custom(library, "Linear", _linear_shape)
        self.not_packed = Tensor([0], ms.float32)
        self.packer = Packer(library)
        self._activation = _custom(library, "Activation", _first_shape)
        self._group_norm = _custom(library, "GroupNorm", _first_shape)
        self._spatial_norm = _custom(library, "SpatialNorm", _first_shape)
        self._layer_norm = _custom(library, "LayerNorm", _first_shape)
        self._attention = _custom(library, "Attention", _first_shape)

    def activation(self, name: str) -> tuple[Any, Tensor] | None:
        """What `Kernels.activation` gives; None where the operator does not know it."""
        return (self._activation, Tensor([_KINDS[name]], ms.float32)) if name in _KINDS else None

    def group_norm(self, groups: int, epsilon: float, activation: str | None) -> tuple[Any, Tensor] | None:
        """What `Kernels.group_norm` gives; None where the operator does not know the activation."""
        return (self._group_norm, _norm_settings(groups, epsilon, activation)) if activation in _FUSED else None

    def spatial_norm(self, groups: int, epsilon: float, activation: str | None) -> tuple[Any, Tensor] | None:
        """What `Kernels.spatial_norm` gives; None where the operator does not know the activation."""
        return (self._spatial_norm, _norm_settings(groups, epsilon, activation)) if activation in _FUSED else None

    def layer_norm(self, epsilon: float) -> tuple[Any, Tensor]:
        """What `Kernels.layer_norm` gives."""
        return self._layer_norm, Tensor([epsilon], ms.float32)

    def attention(self, heads: int) -> tuple[Any, Tensor]:
        """What `Kernels.attention` gives."""
        return self._attention, Tensor([heads], ms.float32)


def _norm_settings(groups: int, epsilon: float, activation: str | None) -> Tensor:
    return Tensor([groups, epsilon, 0.0 if activation is None else 1.0], ms.float32)


def _custom(library: Library, name: str, shape: Callable[..., Any]) -> Any:
    return ops.Custom(f"{library.path}:{name}", shape, _float32, func_type="aot")


def _first_shape(first: list[int], *others: list[int]) -> list[int]:  # noqa: ARG001 - the operators' shapes are all passed
    return first


def _convolved_shape(x: list[int], weights: list[int], *others: list[int]) -> list[int]:  # noqa: ARG001 - likewise
    return [x[0], weights[0], x[2], x[3]]


def _linear_shape(x: list[int], weights: list[int], *others: list[int]) -> list[int]:  # noqa: ARG001 - likewise
    return [*x[:-1], weights[0]]


def _float32(*dtypes: Any) -> Any:  # noqa: ARG001 - likewise
    return ms.float32
