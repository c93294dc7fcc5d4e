"""Reads tensors in the dtype that they are to run in, and looks at every value once, for NaN and infinity.

Tensors that have the dtype already stay where the file is mapped; others are converted run by run, and the source's
memory is given back after each, so that there is never a second copy of the model.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from kandinsky.checkpoint.tensor_file import TensorFile
from kandinsky.errors import NonFiniteWeightsError
from kandinsky.memory import aligned
from kandinsky.widening import Widen, all_finite, widen

FLOAT_DTYPES = frozenset({"BF16", "F16", "F32", "F64"})

_RUN_ELEMENTS = 1 << 18  # long against a system call; its bytes before and after conversion fit a core's cache
_ALIGNMENT = 16  # elements: what a vector register holds
# What a thread takes at a time: many huge pages of memory, for two threads that touch one at once both fill it.
_SHARE_ELEMENTS = 1 << 24
_THREADS_PER_CORE = 2  # half of them wait for the disk
_MOST_THREADS = 8  # memory is no faster with more


def read_tensors(
    sources: Mapping[str, TensorFile], dtype: np.dtype[Any], widen: Widen = widen
) -> dict[str, npt.NDArray[Any]]:
    """All given tensors in one dtype, read by several threads.

    Args:
        sources: the file of each tensor, by the tensor's name. All are of `FLOAT_DTYPES`.
        dtype: float32 or float16.
        widen: how float16 becomes float32.

    Raises:
        NonFiniteWeightsError: tensors hold NaN, infinity, or values that the dtype cannot hold.
    """
    arrays = _destinations({name: file.view(name) for name, file in sources.items()}, dtype)
    shares = [
        _Share(sources[name], name, start, array)
        for name, array in arrays.items()
        for start in range(0, array.size, _SHARE_ELEMENTS)
    ]
    with ThreadPoolExecutor(min(_MOST_THREADS, _THREADS_PER_CORE * (os.cpu_count() or 1))) as threads:
        finite = list(threads.map(partial(_read_share, widen), shares))
    bad = dict.fromkeys(share.name for share, good in zip(shares, finite, strict=True) if not good)
    if bad:
        paths = ", ".join(sorted({str(sources[name].path) for name in bad}))
        raise NonFiniteWeightsError(
            f"{paths}: NaN, infinity or values beyond {dtype.name} in {', '.join(bad)}; download it again, or, if the "
            "values are too large for float16, run it in float32"
        )
    return arrays


@dataclass(frozen=True)
class _Share:
    """A part of one tensor's elements: what a thread takes at a time."""

    file: TensorFile
    name: str
    start: int
    destination: npt.NDArray[Any]


def _destinations(views: Mapping[str, npt.NDArray[Any]], dtype: np.dtype[Any]) -> dict[str, npt.NDArray[Any]]:
    """The mapped tensors themselves where they can be used as they are, else memory to convert them into.

    That memory is one piece, which the system can give in huge pages, however small the tensors are.
    """
    kept = {name for name, view in views.items() if view.dtype == dtype and view.flags.aligned}
    starts = np.cumsum(
        [0] + [-(-view.size // _ALIGNMENT) * _ALIGNMENT for name, view in views.items() if name not in kept]
    )
    memory = aligned(int(starts[-1]), dtype)
    places = iter(starts.tolist())
    arrays = {}
    for name, view in views.items():
        if name in kept:
            arrays[name] = view
        else:
            start = next(places)
            arrays[name] = memory[start : start + view.size].reshape(view.shape)
    return arrays


def _read_share(widen: Widen, share: _Share) -> bool:
    """Converts the share run by run, if need be. Returns whether all of it is finite."""
    stop = min(share.start + _SHARE_ELEMENTS, share.destination.size)
    mapped = share.file.view(share.name)
    if np.may_share_memory(mapped, share.destination):
        return all_finite(mapped.reshape(-1)[share.start : stop])
    buffer = np.empty(min(_RUN_ELEMENTS, stop - share.start), mapped.dtype)
    starts = range(share.start, stop, _RUN_ELEMENTS)
    return all(_convert_run(widen, share, start, buffer[: stop - start]) for start in starts)


def _convert_run(widen: Widen, share: _Share, start: int, source: npt.NDArray[Any]) -> bool:
    target = share.destination.reshape(-1)[start : start + source.size]
    # Read, not copied out of the mapping: a page fault for every 4 KiB would take longer than the conversion.
    share.file.read_into(source, share.name, start)
    if share.file.spans[share.name].dtype == "BF16":
        source = (source.astype(np.uint32) << 16).view(np.float32)
    if source.dtype == np.float16 and target.dtype == np.float32:
        return widen(source, target)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found below
        np.copyto(target, source, casting="same_kind")
    return all_finite(target)
