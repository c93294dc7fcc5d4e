"""The compiled operators as a file that is known to be whole, and loaded."""

import ctypes
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kandinsky.cpu_kernels.cores import core_count

_SEAL_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Library:
    """The operators, loaded into this process.

    Attributes:
        path: what MindSpore is told.
        functions: what Python calls by itself.
        build_seconds: how long building it took; 0 where it was there.
    """

    path: Path
    functions: ctypes.CDLL
    build_seconds: float = 0.0


def seal(path: Path) -> None:
    """Let a library end with the digest of what is before it, which loaders do not look at.

    A library whose end never reached the disk is no error to the system: the process that loads it dies of a signal.
    """
    with path.open("rb+") as file:
        digest = hashlib.sha256(file.read()).digest()
        file.write(digest)


def load(path: Path) -> Library:
    """Load a sealed library.

    Raises:
        OSError: it is not there, not whole, or not allowed to run where it is.
    """
    content = path.read_bytes()
    if hashlib.sha256(content[:-_SEAL_BYTES]).digest() != content[-_SEAL_BYTES:]:
        raise OSError(f"{path} is not whole")
    return Library(path, ctypes.CDLL(str(path)))


def use_threads(library: Library) -> None:
    """Give the operators a thread for each core that is this process's.

    Called before the first operator. The operators cannot look for themselves: importing MindSpore sets
    OMP_NUM_THREADS to 1 for all C code of the process. Python's copy of the environment is older.
    """
    library.functions.SetThreads(ctypes.c_int64(core_count()))


def widener(library: Library) -> Callable[[npt.NDArray[np.float16], npt.NDArray[np.float32]], bool]:
    """As `kandinsky.widening.widen`, in one pass."""
    function = library.functions.Widen
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)

    def widen(half: npt.NDArray[np.float16], target: npt.NDArray[np.float32]) -> bool:
        return bool(function(half.ctypes.data, target.ctypes.data, half.size))

    return widen
