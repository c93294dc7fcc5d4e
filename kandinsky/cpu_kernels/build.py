"""The operators of this folder's C++ files, compiled once a machine, and what Python calls of them by itself."""

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

_FOLDER = Path(__file__).parent
# The arithmetic may be fused and reordered, but NaN and infinity stay what they are.
_FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-pthread",
    "-shared",
    "-fPIC",
)
_COMPILERS = ("c++", "g++", "clang++")
_BUILD_SECONDS = 120

_log = logging.getLogger("kandinsky.cpu_kernels")


def build_library() -> Path | None:
    """The compiled operators; from the user's cache, or built there now. None, with a warning, where that fails.

    The cache's key covers source, flags, compiler and processor, so that a library never runs where it was not built
    for. Several processes may build at once: each renames a finished file into place.
    """
    compiler = next((path for name in _COMPILERS if (path := shutil.which(name)) is not None), None)
    if compiler is None:
        _log.warning("no C++ compiler (%s): the CPU's fast paths are off", ", ".join(_COMPILERS))
        return None
    try:
        library = _cache_folder() / f"cpu-kernels-{_key(compiler)}.so"
        if not library.exists():
            _compile(compiler, library)
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("the CPU's fast paths are off, for they cannot be built: %s", error)
        return None
    return library


def use_threads(library: Path) -> None:
    """Give the operators OMP_NUM_THREADS threads, by which containers are told what is theirs, or else all cores.

    Called before the first operator. The operators cannot look for themselves: importing MindSpore sets the variable to
    1 for all C code of the process. Python's copy of the environment is older.
    """
    told = os.environ.get("OMP_NUM_THREADS", "")
    count = int(told) if told.isdigit() and int(told) > 0 else len(os.sched_getaffinity(0))
    ctypes.CDLL(str(library)).SetThreads(ctypes.c_int64(count))


def widener() -> Callable[[npt.NDArray[np.float16], npt.NDArray[np.float32]], bool] | None:
    """Fills a float32 array from a float16 array in one pass, and tells whether all is finite; both are contiguous.

    None where there is no library.
    """
    library = build_library()
    if library is None:
        return None
    function = ctypes.CDLL(str(library)).Widen
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)

    def widen(half: npt.NDArray[np.float16], target: npt.NDArray[np.float32]) -> bool:
        return bool(function(half.ctypes.data, target.ctypes.data, half.size))

    return widen


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "kandinsky-serving"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _key(compiler: str) -> str:
    version = _run([compiler, "--version"])
    processor = "".join(
        line
        for line in Path("/proc/cpuinfo").read_text().splitlines(True)
        if line.startswith(("model name", "flags", "Features"))
    )
    sources = b"\0".join(path.read_bytes() for path in sorted((*_FOLDER.glob("*.cc"), *_FOLDER.glob("*.h"))))
    parts = (sources, " ".join(_FLAGS).encode(), version.encode(), processor.encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _compile(compiler: str, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        built = Path(folder) / library.name
        _run([compiler, *_FLAGS, *map(str, sorted(_FOLDER.glob("*.cc"))), "-o", str(built)])
        built.rename(library)


def _run(command: list[str]) -> str:
    """A compiler's output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS)  # noqa: S603 - nothing of it is a user's
    if done.returncode != 0:
        raise subprocess.SubprocessError(done.stderr.strip().partition("\n")[0])
    return done.stdout
