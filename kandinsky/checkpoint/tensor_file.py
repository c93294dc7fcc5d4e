"""Reads safetensors files without copying them: the header is checked, each tensor is a view of the mapped file.

The format (https://huggingface.co/docs/safetensors): eight bytes with the header's length, a JSON header, then the
tensors' bytes without gaps. The safetensors library is not used to read because it copies every tensor into NumPy and
has no bfloat16 there.
"""

import json
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
import numpy.typing as npt

from kandinsky.errors import CorruptFileError, MissingFileError

_LENGTH_BYTES = 8
# NumPy has no bfloat16: such a tensor is seen as its bits, and `Span.dtype` tells it from integers.
_DTYPES: Mapping[str, np.dtype[Any]] = {
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "BOOL": np.dtype("?"),
    **{f"{kind.upper()}{8 * size}": np.dtype(f"<{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)},
}


@dataclass(frozen=True)
class Span:
    """Where one tensor lies in its file.

    Attributes:
        dtype: as the format names it: "F16", "BF16", "F32", "I64", …
        shape: its dimensions.
        start_byte: its place, counted from the file's start.
        stop_byte: one past its end.
    """

    dtype: str
    shape: tuple[int, ...]
    start_byte: int
    stop_byte: int


class TensorFile:
    """A safetensors file, mapped into memory.

    The mapping lives as long as a view of it does, also when the file is deleted or another is renamed onto its name.
    Only cutting or overwriting that very file would be seen by a running program; downloads never do that.

    Attributes:
        path: the file.
        spans: its tensors by name, in the file's order.

    Raises:
        MissingFileError: there is no such file.
        CorruptFileError: the file is truncated or is no safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
            finalize(self, os.close, self._descriptor)
            # Copy on write: a stray write to a parameter neither crashes nor reaches the file.
            self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_COPY)
            self.spans = _read_spans(self._map)
        except FileNotFoundError:
            raise MissingFileError(f"{path} is missing; download the checkpoint again") from None
        except OSError as error:
            raise CorruptFileError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError as error:  # mmap's own for an empty file; JSON's and ours for the rest
            raise CorruptFileError(f"{path} is no whole safetensors file: {error}; download it again") from None

    def __repr__(self) -> str:
        return f"TensorFile({self.path}, {len(self.spans)} tensors)"

    def view(self, name: str) -> npt.NDArray[Any]:
        """The tensor as a view of the file, bfloat16 as uint16 bits."""
        span = self.spans[name]
        dtype = _DTYPES[span.dtype]
        return np.frombuffer(self._map, dtype, prod(span.shape), span.start_byte).reshape(span.shape)

    def read_into(self, elements: npt.NDArray[Any], name: str, first: int) -> None:
        """Fills a flat array with the tensor's elements from one on, read without mapping them.

        Args:
            elements: as many as are to be read, of the dtype of `view`.
            name: the tensor's.
            first: index of the first element.

        Raises:
            CorruptFileError: the file has been cut since it was opened, or the disk fails.
        """
        try:
            offset = self.spans[name].start_byte + first * elements.itemsize
            read_bytes = os.preadv(self._descriptor, [elements.data], offset)
        except OSError as error:
            raise CorruptFileError(f"{self.path} cannot be read: {error.strerror}") from None
        if read_bytes != elements.nbytes:
            raise CorruptFileError(f"{self.path} ends within {name}; download it again")


def _read_spans(file: mmap.mmap) -> dict[str, Span]:
    data_start_byte = _LENGTH_BYTES + int.from_bytes(file[:_LENGTH_BYTES], "little")
    if len(file) < data_start_byte:
        raise ValueError(f"its header should end at byte {data_start_byte}, but the file has {len(file)} bytes")
    header = json.loads(file[_LENGTH_BYTES:data_start_byte])
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    header.pop("__metadata__", None)
    spans = {name: _span(name, entry, data_start_byte) for name, entry in header.items()}
    _check_contiguous(spans, data_start_byte, len(file))
    return spans


def _span(name: str, entry: Any, data_start_byte: int) -> Span:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(start), int(stop)]} if dtype in _DTYPES:
            if any(not isinstance(size, int) or size < 0 for size in shape):
                raise ValueError(f"{name} has the shape {shape}")
            if stop - start != prod(shape) * _DTYPES[dtype].itemsize:
                raise ValueError(f"{name} has {stop - start} bytes, which is not {dtype} of shape {shape}")
            return Span(dtype, tuple(shape), data_start_byte + start, data_start_byte + stop)
    raise ValueError(f"its header's entry for {name} is {entry!r}")


def _check_contiguous(spans: Mapping[str, Span], data_start_byte: int, file_bytes: int) -> None:
    """Without gaps or overlaps, as the format demands, and to the file's very end."""
    end_byte = data_start_byte
    for name, span in sorted(spans.items(), key=lambda item: (item[1].start_byte, item[1].stop_byte)):
        if span.start_byte != end_byte:
            raise ValueError(f"{name} starts at byte {span.start_byte} instead of {end_byte}")
        end_byte = span.stop_byte
    if end_byte != file_bytes:
        raise ValueError(f"its tensors end at byte {end_byte}, but the file has {file_bytes} bytes")
