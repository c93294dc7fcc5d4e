"""Tensors of the contract as numpy arrays and back; wrong ones name their field.

The one file of this package that imports numpy: the gateway never does.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagegen.v1.common_pb2 import DataType, Tensor
from serving.errors import InvalidFieldError

Floats = NDArray[np.floating[Any]]

_DTYPES: dict[DataType.ValueType, np.dtype[Any]] = {
    DataType.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    DataType.DATA_TYPE_FLOAT16: np.dtype("<f2"),
}

# Embeddings and latents are of the order of 1; from numbers like 1e20 nothing finite comes.
_LARGEST = 10_000
_SHOWN_SIZES = 8


def to_array(tensor: Tensor, field: str, shape: Sequence[int | None]) -> Floats:
    """The tensor's elements as an array, which shares their memory and cannot be written to.

    Args:
        tensor: from a request.
        field: the tensor's name in the request, for errors.
        shape: what is allowed; None where any size of at least 1 is.

    Raises:
        InvalidFieldError: another dtype, shape, number of bytes, or elements that are NaN, infinite or absurdly large.
    """
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise InvalidFieldError(f"{field}.dtype", "must be DATA_TYPE_FLOAT32 or DATA_TYPE_FLOAT16")
    _check_shape(tensor.shape, f"{field}.shape", shape)
    expected_bytes = math.prod(tensor.shape) * dtype.itemsize
    if len(tensor.data) != expected_bytes:
        raise InvalidFieldError(
            f"{field}.data",
            f"must be {expected_bytes} bytes for {dtype.name} of shape {_shown(tensor.shape)}, not {len(tensor.data)}",
        )
    array: Floats = np.frombuffer(tensor.data, dtype).reshape(tensor.shape)
    if not np.isfinite(array).all():
        raise InvalidFieldError(f"{field}.data", "must be finite, but holds NaN or infinity")
    if np.abs(array).max() > _LARGEST:
        raise InvalidFieldError(f"{field}.data", f"must be numbers from -{_LARGEST} to {_LARGEST}")
    return array


def from_array(array: Floats) -> Tensor:
    """An array of float32 or float16 as a tensor; any other type is a TypeError."""
    for data_type, dtype in _DTYPES.items():
        if array.dtype == dtype:
            data = np.ascontiguousarray(array, dtype).tobytes()
            return Tensor(dtype=data_type, shape=array.shape, data=data)
    raise TypeError(f"tensors are float32 or float16, not {array.dtype}")


def _check_shape(actual: Sequence[int], field: str, allowed: Sequence[int | None]) -> None:
    fits = len(actual) == len(allowed) and all(
        size >= 1 and expected in (None, size) for size, expected in zip(actual, allowed, strict=True)
    )
    if not fits:
        raise InvalidFieldError(field, f"must be {_shown(allowed)}, not {_shown(actual)}")


def _shown(shape: Sequence[int | None]) -> str:
    """(n, 768) for (None, 768)."""
    sizes = ["n" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes if len(sizes) <= _SHOWN_SIZES else [*sizes[:_SHOWN_SIZES], '…'])})"
