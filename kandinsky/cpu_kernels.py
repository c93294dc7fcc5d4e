"""The CPU's fast paths: cpu_kernels.cc, compiled once a machine, as cells that fall back to the plain operators.

Each cell is called as the entry of `kandinsky.ops.Kernels` that it stands for, and takes the plain path wherever its
operator does not apply. Measured against the plain operators in docs/performance.md.
"""

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import numpy.typing as npt
from mindspore import Tensor, nn, ops

_SOURCE = Path(__file__).with_suffix(".cc")
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
_OUT_CHANNELS = 6  # that the operator computes at once
_LEAST_PIXELS = 144  # smaller maps have too few tiles
_MOST_WEIGHTS = 1_200_000  # c_in · c_out; transformed weights are four times as large as the plain ones

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


def packs(weight: Tensor, stride: int, padding: tuple[int, int, int, int]) -> bool:
    """Whether a convolution of these weights, (c_out, c_in, k, k), has a fast path."""
    c_out, c_in, kernel, _ = weight.shape
    same = kernel == 3 and stride == 1 and padding == (1, 1, 1, 1)
    return same and weight.dtype == ms.float32 and c_in * c_out <= _MOST_WEIGHTS and min(c_in, c_out) >= _LANES


def pack(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Weights as the operator wants them: (c_out, c_in, 3, 3) → (36, ⌈c_out / 6⌉, c_in, 6)."""
    c_out, c_in = weight.shape[:2]
    points = np.einsum("ik,ockl,jl->ijoc", _TRANSFORM, weight.astype(np.float64), _TRANSFORM, optimize=True)
    groups = -(-c_out // _OUT_CHANNELS)
    filled = np.zeros((36, groups * _OUT_CHANNELS, c_in), np.float32)
    filled[:, :c_out] = points.reshape(36, c_out, c_in)
    return np.ascontiguousarray(filled.reshape(36, groups, _OUT_CHANNELS, c_in).transpose(0, 1, 3, 2))


class PackedConvolution(nn.Cell):
    """(x (b, c_in, h, w), packed weights, bias (c_out,)) → (b, c_out, h, w)."""

    def __init__(self, library: Path) -> None:
        super().__init__()
        self.operator = _custom(library, "Convolution", _convolved_shape)

    def construct(self, x: Tensor, packed: Tensor, bias: Tensor) -> Tensor:
        return self.operator(x, packed, bias)


class DirectConvolution(nn.Cell):
    """`Kernels.conv2d` in float32 with a bias, where it keeps the size; for what is not worth transforming weights."""

    def __init__(self, library: Path, plain: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operator = _custom(library, "DirectConvolution", _convolved_shape)
        self.plain = plain

    def construct(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: tuple[int, int, int, int]
    ) -> Tensor:
        c_out, c_in, kernel, _ = weight.shape
        same = stride == 1 and kernel % 2 == 1 and padding == ((kernel - 1) // 2,) * 4
        if bias is None or not same or x.dtype != ms.float32 or min(c_in, c_out) < _LANES:
            return self.plain(x, weight, bias, stride, padding)
        return self.operator(x, weight, bias)


class FusedGroupNorm(nn.Cell):
    """`Kernels.group_norm` in float32."""

    def __init__(self, library: Path, plain: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operator = _custom(library, "GroupNorm", _first_shape)
        self.plain = plain

    def construct(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        groups: int,
        epsilon: float,
        scale: Tensor | None,
        shift: Tensor | None,
        silu: bool,
    ) -> Tensor:
        if x.dtype != ms.float32:
            return self.plain(x, weight, bias, groups, epsilon, scale, shift, silu)
        settings = Tensor([groups, epsilon, 1.0 if silu else 0.0], ms.float32)
        if scale is None or shift is None:
            scale = shift = ops.zeros((x.shape[0], x.shape[1]), ms.float32)
        return self.operator(x, weight, bias, scale, shift, settings)


class BlockedAttention(nn.Cell):
    """`Kernels.attention` in float32, without a bias, for heads whose width is a multiple of 16."""

    def __init__(self, library: Path, plain: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operator = _custom(library, "Attention", _first_shape)
        self.plain = plain

    def construct(self, query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None) -> Tensor:
        if bias is not None or query.dtype != ms.float32 or query.shape[2] // heads % _LANES != 0:
            return self.plain(query, key, value, heads, bias)
        return self.operator(query, key, value, Tensor([heads], ms.float32))


def is_large(x: Tensor) -> bool:
    """Whether a map (b, c, h, w) is large enough for a packed convolution to be the faster one."""
    pixels: int = x.shape[2] * x.shape[3]
    return pixels >= _LEAST_PIXELS


def _custom(library: Path, name: str, shape: Callable[..., Any]) -> Any:
    return ops.Custom(f"{library}:{name}", shape, _float32, func_type="aot")


def _first_shape(first: list[int], *others: list[int]) -> list[int]:  # noqa: ARG001 - the operators' shapes are all passed
    return first


def _convolved_shape(x: list[int], weights: list[int], bias: list[int]) -> list[int]:  # noqa: ARG001 - likewise
    return [x[0], bias[0], x[2], x[3]]


def _float32(*dtypes: Any) -> Any:  # noqa: ARG001 - likewise
    return ms.float32


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
    parts = (_SOURCE.read_bytes(), " ".join(_FLAGS).encode(), version.encode(), processor.encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _compile(compiler: str, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        built = Path(folder) / library.name
        _run([compiler, *_FLAGS, str(_SOURCE), "-o", str(built)])
        built.rename(library)


def _run(command: list[str]) -> str:
    """A compiler's output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS)  # noqa: S603 - nothing of it is a user's
    if done.returncode != 0:
        raise subprocess.SubprocessError(done.stderr.strip().partition("\n")[0])
    return done.stdout
