"""Float16 weights as float32, and whether numbers are finite: what loading does with every one of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Widen = Callable[[npt.NDArray[np.float16], npt.NDArray[np.float32]], bool]
"""Fills a float32 array from a float16 array of the same size, both contiguous; returns whether all of it is finite."""


def widen(half: npt.NDArray[np.float16], target: npt.NDArray[np.float32]) -> bool:
    """Finite float16 as float32: what np.copyto does, three times as fast. Returns whether it was finite.

    Moved up by 13 bits, float16's fraction and exponent lie where float32 has its own, and the repeated sign bit
    reaches the top. The exponents' zeros are 15 and 127, so the value is too small by 2**112; subnormal numbers come
    out right, too, unless a library has told the processor to round those to zero.
    """
    if np.float32(2.0**-126) / np.float32(2) == 0:
        np.copyto(target, half)
        return all_finite(half)
    bits = target.view(np.int32)
    np.copyto(bits, half.view(np.int16))
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, np.int32(-0x70002000), out=bits)  # 0x8FFFE000: sign, low five bits of the exponent, fraction
    np.multiply(target, np.float32(2.0**112), out=target)
    return all_finite(half)


def all_finite(values: npt.NDArray[Any]) -> bool:
    """As np.isfinite(values).all(), but five times faster on float16 and without its array of answers.

    Read as integers, infinity and NaN are the largest numbers of either sign.
    """
    size = values.dtype.itemsize
    infinity = np.array([np.inf, -np.inf], values.dtype).view(f"u{size}")
    return bool(values.view(f"i{size}").max() < infinity[0] and values.view(f"u{size}").max() < infinity[1])
