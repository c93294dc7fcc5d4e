"""The CPU's fast paths: operators in C++, and the layouts of weights that they want."""

from kandinsky.cpu_kernels.build import build_library
from kandinsky.cpu_kernels.library import Library, use_threads, widener
from kandinsky.cpu_kernels.operators import Operators
from kandinsky.cpu_kernels.packing import Packer, is_same, packs, packs_linear

__all__ = [
    "Library",
    "Operators",
    "Packer",
    "build_library",
    "is_same",
    "packs",
    "packs_linear",
    "use_threads",
    "widener",
]
