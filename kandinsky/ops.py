"""The one file that knows devices: the kernels that a network is built from, chosen once at load.

A network never asks where it runs. It receives a `Kernels` table and calls its entries; all entries of all tables take
and return the same shapes, so that CPU and Ascend run the same source.
"""

import mmap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Tensor, ops

from kandinsky.activations import ACTIVATIONS
from kandinsky.cpu_kernels.build import build_library, find_or_build
from kandinsky.cpu_kernels.library import Library, use_threads, widener
from kandinsky.cpu_kernels.operators import Operators
from kandinsky.errors import DeviceError
from kandinsky.widening import Widen, widen

# What masked positions add to attention logits. Large enough that exp() of it is 0 in float32 and float16, and finite
# in both, which keeps softmax free of NaN (the value is the one of diffusers' PriorTransformer).
MASKED = -10000.0

Called = tuple[Callable[..., Tensor], Any]
"""A layer's operator, and what it is told at every call besides tensors: its settings. Chosen when a layer is built,
since what a network's call decides is decided, and compiled, for each layer again."""


@dataclass(frozen=True)
class Kernels:
    """The operators whose best form depends on the device.

    Attributes:
        name: what the table is for, shown by the servers.
        attention: heads → a call of (query (b, n, heads·d), key (b, m, heads·d), value (b, m, heads·d), settings, and,
            if any, a bias) → (b, n, heads·d), and its settings. The bias is additive, broadcastable to (b, heads, n,
            m), 0 or `MASKED`.
        conv2d: (x (b, c_in, h, w), weight (c_out, c_in, k, k), bias (c_out,) or None, (stride, padding on top, bottom,
            left, right), and, if any, a residual) → (b, c_out, h', w'), the residual added.
        linear: (x (…, in), weight (out, in), bias (out,) or None, and, if any, a residual) → (…, out), likewise.
        activation: name, one of `ACTIVATIONS` → a call of (x, settings) → like x, and its settings.
        group_norm: (groups, epsilon, activation or None) → a call of (x (b, c, …), weight (c,), bias (c,), settings,
            and, if any, time (b, 2c)) → like x, and its settings: the norm; then times 1 + time's first half, plus its
            second; then the activation.
        spatial_norm: likewise → a call of (x (b, c, f·h, f·w), weight (c,), bias (c,), scale (b, c, h, w), shift (b, c,
            h, w), settings) → like x, and its settings: the norm, times scale, plus shift, each of whose pixels stands
            for f × f; then the activation.
        layer_norm: epsilon → a call of (x (…, c), weight (c,), bias (c,), settings) → like x, and its settings.
        fast: what layers use instead of `conv2d` and `linear` once their weights are there and have the right form;
            None where there is nothing.
        others: the table of networks that compute in another dtype than float32; None: this one.
        waits: a graph's call ends when its result is there. The CPU's threads would else fight for the cores: a graph
            that is queued behind another makes both take ten times as long (MindSpore 2.10, two cores).
        widen: float16 weights as float32, while they are read.
    """

    name: str
    attention: Callable[[int], Called]
    conv2d: Callable[..., Tensor]
    linear: Callable[..., Tensor]
    activation: Callable[[str], Called]
    group_norm: Callable[[int, float, str | None], Called]
    spatial_norm: Callable[[int, float, str | None], Called]
    layer_norm: Callable[[float], Called]
    fast: Operators | None = None
    others: "Kernels | None" = None
    waits: bool = False
    widen: Widen = widen

    def of_dtype(self, dtype: str) -> "Kernels":
        """The table of networks that compute in this dtype, such as "float32"."""
        return self if dtype == "float32" or self.others is None else self.others


def kernels_for(device: str) -> Kernels:
    """The table for a device.

    Args:
        device: "CPU" or "Ascend".

    Raises:
        DeviceError: another name.
    """
    plain = Kernels(
        device,
        lambda heads: (_plain_attention, heads),
        _conv2d,
        _linear,
        lambda name: (_activate, name),
        lambda *settings: (_group_norm, settings),
        lambda *settings: (_spatial_norm, settings),
        lambda epsilon: (_layer_norm, epsilon),
        waits=device == "CPU",
    )
    if device == "CPU":
        return plain
    if device == "Ascend":
        return replace(plain, attention=lambda heads: (_flash_attention, heads))
    raise DeviceError(f"device {device!r} is not known; allowed: CPU, Ascend")


def with_fast_paths(kernels: Kernels, find: Callable[[], Library] = find_or_build) -> Kernels:
    """The CPU's table with the fast paths of `cpu_kernels`, in float32; the same table where they cannot be built.

    Args:
        kernels: of a CPU.
        find: as for `build_library`.
    """
    library = build_library(find)
    if library is None:
        return kernels
    use_threads(library)
    fast = Operators(library)
    return replace(
        kernels,
        attention=fast.attention,
        activation=lambda name: fast.activation(name) or kernels.activation(name),
        group_norm=lambda *settings: fast.group_norm(*settings) or kernels.group_norm(*settings),
        spatial_norm=lambda *settings: fast.spatial_norm(*settings) or kernels.spatial_norm(*settings),
        layer_norm=fast.layer_norm,
        fast=fast,
        others=kernels,
        widen=widener(library),
    )


def upsample_nearest(x: Tensor, factor: int) -> Tensor:
    """Repeat every pixel factor × factor times: (b, c, h, w) → (b, c, factor·h, factor·w)."""
    b, c, h, w = x.shape
    tiled = ops.broadcast_to(x.reshape(b, c, h, 1, w, 1), (b, c, h, factor, w, factor))
    return tiled.reshape(b, c, h * factor, w * factor)


def downsample_average(x: Tensor) -> Tensor:
    """Average of every 2 × 2 pixels: (b, c, h, w) → (b, c, h/2, w/2). h and w are even."""
    return ops.avg_pool2d(x, kernel_size=2, stride=2)


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    settings: tuple[int, tuple[int, int, int, int]],
    residual: Tensor | None = None,
) -> Tensor:
    stride, padding = settings
    out_channels, _, kernel, _ = weight.shape
    y = ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=padding, stride=stride)(x, weight)
    if bias is not None:
        y = ops.BiasAdd()(y, bias)
    return y if residual is None else residual + y


def _group_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    settings: tuple[int, float, str | None],
    time: Tensor | None = None,
) -> Tensor:
    groups, epsilon, activation = settings
    # One operator: written out, the CPU's multiply and add keep 16 bytes an element for every operand they broadcast.
    weight, bias = weight.astype(ms.float32), bias.astype(ms.float32)
    y = ops.group_norm(x.astype(ms.float32), groups, weight, bias, epsilon).astype(x.dtype)
    if time is not None:
        # (b, c) → (b, c, 1, 1)
        scale, shift = ops.chunk(time, 2, 1)
        y = y * (1 + scale.expand_dims(2).expand_dims(3)) + shift.expand_dims(2).expand_dims(3)
    return y if activation is None else ACTIVATIONS[activation](y)


def _spatial_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
    settings: tuple[int, float, str | None],
) -> Tensor:
    groups, epsilon, activation = settings
    factor = x.shape[2] // scale.shape[2]
    y = _group_norm(x, weight, bias, (groups, epsilon, None))
    y = y * upsample_nearest(scale, factor) + upsample_nearest(shift, factor)
    return y if activation is None else ACTIVATIONS[activation](y)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None = None) -> Tensor:
    rows = ops.MatMul(transpose_b=True)(x.reshape(-1, x.shape[-1]), weight)
    if bias is not None:
        # Not +, which on a CPU keeps an index of 16 bytes for each element that it broadcasts.
        rows = ops.BiasAdd()(rows, bias)
    y = rows.reshape((*x.shape[:-1], rows.shape[-1]))
    return y if residual is None else residual + y


def _activate(x: Tensor, name: str) -> Tensor:
    return ACTIVATIONS[name](x)


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=epsilon)
    y, _, _ = norm(x.astype(ms.float32), weight.astype(ms.float32), bias.astype(ms.float32))
    return y.astype(x.dtype)


def _plain_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    b, n, width = query.shape
    head_dim = width // heads
    # (b, n, heads·d) → (b, heads, n, d)
    query = (query * head_dim**-0.5).reshape(b, n, heads, head_dim).transpose(0, 2, 1, 3)
    key = key.reshape(b, -1, heads, head_dim).transpose(0, 2, 1, 3)
    value = value.reshape(b, -1, heads, head_dim).transpose(0, 2, 1, 3)
    logits = ops.BatchMatMul(transpose_b=True)(query, key)
    if bias is not None:
        logits = logits + bias
    mixed = ops.BatchMatMul()(ops.softmax(logits, axis=-1), value)
    return mixed.transpose(0, 2, 1, 3).reshape(b, n, width)


# Ascend only: written from the documentation, not run by anyone here. The kernel takes float16, wants head dims that
# are multiples of 16, and a mask in which True means "discard".
def _flash_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    head_dim = query.shape[-1] // heads
    if query.dtype != ms.float16 or head_dim % 16 != 0:
        return _plain_attention(query, key, value, heads, bias)
    discard = (
        None if bias is None else ops.broadcast_to(bias < MASKED / 2, (query.shape[0], 1, query.shape[1], key.shape[1]))
    )
    return ops.flash_attention_score(
        query,
        key,
        value,
        heads,
        attn_mask=discard,
        scalar_value=head_dim**-0.5,
        next_tokens=2147483647,
        input_layout="BSH",
    )


def use_device(device: str, device_id: int = 0) -> Kernels:
    """Select the device for this process, before the first operator, and return its kernels.

    Args:
        device: "CPU" or "Ascend".
        device_id: which NPU of the machine; ignored on a CPU.

    Raises:
        DeviceError: the device is not there.
    """
    kernels = kernels_for(device)
    if device == "CPU" and ms.get_context("device_target") == "CPU":
        return kernels  # as it is without an NPU; setting it again fails once an operator has run
    try:
        ms.set_device(device, device_id)
        if device == "Ascend":
            # Float32 convolutions (MoVQ) would silently run in HF32, which keeps 11 bits of mantissa.
            ms.device_context.ascend.op_precision.conv_allow_hf32(False)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].partition(". ")[0]
        raise DeviceError(f"device {device} {device_id} cannot be used: {reason}; try --device CPU") from error
    return kernels


def device_memory_bytes() -> int:
    """Memory that this process holds of its device; on a CPU, of the machine."""
    if ms.get_context("device_target") == "CPU":
        resident_pages = Path("/proc/self/statm").read_text().split()[1]
        return int(resident_pages) * mmap.PAGESIZE
    reserved: int = ms.runtime.memory_reserved()
    return reserved
