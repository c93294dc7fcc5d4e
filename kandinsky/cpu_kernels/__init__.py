"""The CPU's fast paths: operators in C++, and the cells by which networks use them."""

from kandinsky.cpu_kernels.build import build_library, use_threads, widener
from kandinsky.cpu_kernels.cells import (
    BlockedAttention,
    DirectConvolution,
    FusedGroupNorm,
    FusedSpatialNorm,
    PackedConvolution,
    PackedLinear,
    SharedActivation,
    SharedLayerNorm,
)
from kandinsky.cpu_kernels.packing import Packer, is_large, packs, packs_linear

__all__ = [
    "BlockedAttention",
    "DirectConvolution",
    "FusedGroupNorm",
    "FusedSpatialNorm",
    "PackedConvolution",
    "PackedLinear",
    "Packer",
    "SharedActivation",
    "SharedLayerNorm",
    "build_library",
    "is_large",
    "packs",
    "packs_linear",
    "use_threads",
    "widener",
]
