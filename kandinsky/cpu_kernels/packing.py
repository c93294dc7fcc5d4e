"""Weights of convolutions in Winograd's form, and which convolutions take it."""

import mindspore as ms
import numpy as np
import numpy.typing as npt
from mindspore import Tensor

_LANES = 16
# Of winograd's F(4 × 4, 3 × 3), arXiv:1509.09308: what makes 6 × 6 weights of 3 × 3.
_TRANSFORM = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_OUT_CHANNELS = 12  # that the operator computes at once
_OUT_FEATURES = 32  # of a panel
_MOST_WEIGHTS = 1_200_000  # c_in · c_out; transformed weights are four times as large as the plain ones


def is_same(weight: Tensor, stride: int, padding: tuple[int, int, int, int]) -> bool:
    """Whether a convolution of these weights, (c_out, c_in, k, k), has a fast path: one that keeps the size."""
    c_out, c_in, kernel, _ = weight.shape
    same = stride == 1 and kernel % 2 == 1 and padding == ((kernel - 1) // 2,) * 4
    return same and weight.dtype == ms.float32 and min(c_in, c_out) >= _LANES


def packs(weight: Tensor) -> bool:
    """Whether the weights of such a convolution are worth having in Winograd's form, too."""
    c_out, c_in, kernel, _ = weight.shape
    return kernel == 3 and c_in * c_out <= _MOST_WEIGHTS


def pack(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Weights as the operator wants them: (c_out, c_in, 3, 3) → (36, ⌈c_out / 12⌉, c_in, 12)."""
    c_out, c_in = weight.shape[:2]
    points = np.einsum("ik,ockl,jl->ijoc", _TRANSFORM, weight.astype(np.float64), _TRANSFORM, optimize=True)
    groups = -(-c_out // _OUT_CHANNELS)
    filled = np.zeros((36, groups * _OUT_CHANNELS, c_in), np.float32)
    filled[:, :c_out] = points.reshape(36, c_out, c_in)
    return np.ascontiguousarray(filled.reshape(36, groups, _OUT_CHANNELS, c_in).transpose(0, 1, 3, 2))


def packs_linear(weight: Tensor) -> bool:
    """Whether a linear layer of these weights, (out, in), has a fast path."""
    return weight.dtype == ms.float32 and weight.shape[0] % _OUT_FEATURES == 0


def pack_linear(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Weights as the operator wants them: (out, in) → (out / 32, in, 32), in the old shape."""
    outs, depth = weight.shape
    panels = weight.reshape(outs // _OUT_FEATURES, _OUT_FEATURES, depth).transpose(0, 2, 1)
    return np.ascontiguousarray(panels).reshape(outs, depth)
