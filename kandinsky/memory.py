"""Memory for weights that starts with a cache line: NumPy's starts within one, and vectors across two take longer."""

from typing import Any

import numpy as np
import numpy.typing as npt

_LINE_BYTES = 64


def aligned(size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """So many elements of a dtype, of any values: (size,)."""
    wanted = size * np.dtype(dtype).itemsize
    memory = np.empty(wanted + _LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % _LINE_BYTES
    return memory[start : start + wanted].view(dtype)


def at_a_line(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, or a copy of it where it starts within a line, as one that is mapped from a file mostly does."""
    if array.ctypes.data % _LINE_BYTES == 0:
        return array
    copy = aligned(array.size, array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
