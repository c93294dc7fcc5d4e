"""Weights as the operators want them, and which weights are laid out so."""

import ctypes

import mindspore as ms
import numpy as np
import numpy.typing as npt
from mindspore import Tensor

from kandinsky.cpu_kernels.library import Library

_FEW_CHANNELS = 16  # of which MindSpore's 1 × 1 convolutions are faster
_OUT_CHANNELS = 12  # that a transformed convolution computes at once
_OUT_FEATURES = 32  # of a linear layer's panel
_MOST_WEIGHTS = 1_200_000  # c_in · c_out; transformed weights are four times as large as the plain ones


class Packer:
    """Lays weights out, by the library's own functions.

    Args:
        library: from `build_library`.
    """

    def __init__(self, library: Library) -> None:
        self._convolution, self._linear = library.functions.PackConvolution, library.functions.PackLinear
        self._convolution.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self._linear.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self._convolution.restype = self._linear.restype = None

    def convolution(self, weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Winograd's form, computed in float64: (c_out, c_in, 3, 3) → (36, ⌈c_out / 12⌉, c_in, 12)."""
        c_out, c_in = weight.shape[:2]
        packed = np.empty((36, -(-c_out // _OUT_CHANNELS), c_in, _OUT_CHANNELS), np.float32)
        weight = np.ascontiguousarray(weight)
        self._convolution(weight.ctypes.data, packed.ctypes.data, c_out, c_in)
        return packed

    def linear(self, weight: npt.NDArray[np.float32]) -> None:
        """Panels of 32 features, in the weights' own memory: (out, in) → (out / 32, in, 32), in the old shape."""
        self._linear(weight.ctypes.data, *weight.shape)


def is_same(weight: Tensor, stride: int, padding: tuple[int, int, int, int]) -> bool:
    """Whether a convolution of these weights, (c_out, c_in, k, k), has a fast path: one that keeps the size."""
    c_out, c_in, kernel, _ = weight.shape
    same = stride == 1 and kernel % 2 == 1 and padding == ((kernel - 1) // 2,) * 4
    return same and weight.dtype == ms.float32 and (kernel > 1 or min(c_in, c_out) >= _FEW_CHANNELS)


def packs(weight: Tensor) -> bool:
    """Whether the weights of such a convolution are worth having in Winograd's form, too."""
    c_out, c_in, kernel, _ = weight.shape
    return kernel == 3 and c_in * c_out <= _MOST_WEIGHTS


def packs_linear(weight: Tensor) -> bool:
    """Whether a linear layer of these weights, (out, in), has a fast path."""
    return weight.dtype == ms.float32 and weight.shape[0] % _OUT_FEATURES == 0
