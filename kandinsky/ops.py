"""The one file that knows devices: the kernels that a network is built from, chosen once at load.

A network never asks where it runs. It receives a `Kernels` table and calls its entries; all entries of all tables take
and return the same shapes, so that CPU and Ascend run the same source.
"""

import mmap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import mindspore as ms
from mindspore import Tensor, ops

from kandinsky import cpu_kernels
from kandinsky.activations import ACTIVATIONS
from kandinsky.errors import DeviceError

# What masked positions add to attention logits. Large enough that exp() of it is 0 in float32 and float16, and finite
# in both, which keeps softmax free of NaN (the value is the one of diffusers' PriorTransformer).
MASKED = -10000.0


@dataclass(frozen=True)
class Kernels:
    """The operators whose best form depends on the device.

    Attributes:
        name: what the table is for, shown by the servers.
        attention: (query (b, n, heads·d), key (b, m, heads·d), value (b, m, heads·d), heads, bias) → (b, n, heads·d).
            bias is None or additive, broadcastable to (b, heads, n, m), 0 or `MASKED`.
        conv2d: (x (b, c_in, h, w), weight (c_out, c_in, k, k), bias (c_out,), stride, padding on top, bottom, left,
            right, residual) → (b, c_out, h', w'), to which a residual that is not None is added.
        linear: (x (…, in), weight (out, in), bias (out,) or None) → (…, out).
        activate: (x, name) → like x; the names are those of `ACTIVATIONS`.
        group_norm: (x (b, c, …), weight (c,), bias (c,), groups, epsilon, scale, shift, activation) → like x: the norm;
            with a scale and a shift (b, c) and not None, times 1 + scale, plus shift; then the activation, if any.
        spatial_norm: (x (b, c, f·h, f·w), weight (c,), bias (c,), groups, epsilon, scale (b, c, h, w), shift (b, c, h,
            w), activation) → like x: the norm, times scale, plus shift, each of whose pixels stands for f × f; then the
            activation, if any.
        layer_norm: (x (…, c), weight (c,), bias (c,), epsilon) → like x.
        packed_conv2d: (x (b, c_in, h, w), weights as `cpu_kernels.pack` makes them, bias (c_out,), residual) → (b,
            c_out, h, w), to which a residual that is not None is added; None where there is no such path.
        packed_linear: (x (…, in), weights as `cpu_kernels.pack_linear` makes them, bias (out,), residual) → (…, out),
            to which a residual that is not None is added; None where there is no such path.
        packer: lays weights out for the packed entries; None where there are none.
        waits: a graph's call ends when its result is there. The CPU's threads would else fight for the cores: a graph
            that is queued behind another makes both take ten times as long (MindSpore 2.10, two cores).
    """

    name: str
    attention: Callable[[Tensor, Tensor, Tensor, int, Tensor | None], Tensor]
    conv2d: Callable[[Tensor, Tensor, Tensor | None, int, tuple[int, int, int, int], Tensor | None], Tensor]
    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    activate: Callable[[Tensor, str], Tensor]
    group_norm: Callable[[Tensor, Tensor, Tensor, int, float, Tensor | None, Tensor | None, str | None], Tensor]
    spatial_norm: Callable[[Tensor, Tensor, Tensor, int, float, Tensor, Tensor, str | None], Tensor]
    layer_norm: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    packed_conv2d: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor] | None = None
    packed_linear: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor] | None = None
    packer: cpu_kernels.Packer | None = None
    waits: bool = False


def kernels_for(device: str) -> Kernels:
    """The table for a device.

    Args:
        device: "CPU" or "Ascend".

    Raises:
        DeviceError: another name.
    """
    plain = Kernels(
        device,
        _plain_attention,
        _conv2d,
        _linear,
        _activate,
        _group_norm,
        _spatial_norm,
        _layer_norm,
        waits=device == "CPU",
    )
    if device == "CPU":
        return plain
    if device == "Ascend":
        return replace(plain, attention=_flash_attention)
    raise DeviceError(f"device {device!r} is not known; allowed: CPU, Ascend")


def with_fast_paths(kernels: Kernels) -> Kernels:
    """The CPU's table with the fast paths of cpu_kernels.cc, in float32; the same table where they cannot be built."""
    library = cpu_kernels.build_library()
    if library is None:
        return kernels
    cpu_kernels.use_threads(library)
    return replace(
        kernels,
        attention=cpu_kernels.BlockedAttention(library, kernels.attention),
        conv2d=cpu_kernels.DirectConvolution(library, kernels.conv2d),
        activate=cpu_kernels.SharedActivation(library, kernels.activate),
        group_norm=cpu_kernels.FusedGroupNorm(library, kernels.group_norm),
        spatial_norm=cpu_kernels.FusedSpatialNorm(library, kernels.spatial_norm),
        layer_norm=cpu_kernels.SharedLayerNorm(library, kernels.layer_norm),
        packed_conv2d=cpu_kernels.PackedConvolution(library),
        packed_linear=cpu_kernels.PackedLinear(library),
        packer=cpu_kernels.Packer(library),
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
    stride: int,
    padding: tuple[int, int, int, int],
    residual: Tensor | None,
) -> Tensor:
    out_channels, _, kernel, _ = weight.shape
    y = ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=padding, stride=stride)(x, weight)
    if bias is not None:
        y = ops.BiasAdd()(y, bias)
    return y if residual is None else residual + y


def _group_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    epsilon: float,
    scale: Tensor | None,
    shift: Tensor | None,
    activation: str | None,
) -> Tensor:
    # One operator: written out, the CPU's multiply and add keep 16 bytes an element for every operand they broadcast.
    weight, bias = weight.astype(ms.float32), bias.astype(ms.float32)
    y = ops.group_norm(x.astype(ms.float32), groups, weight, bias, epsilon).astype(x.dtype)
    if scale is not None and shift is not None:
        # (b, c) → (b, c, 1, 1)
        y = y * (1 + scale.expand_dims(2).expand_dims(3)) + shift.expand_dims(2).expand_dims(3)
    return y if activation is None else ACTIVATIONS[activation](y)


def _spatial_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    epsilon: float,
    scale: Tensor,
    shift: Tensor,
    activation: str | None,
) -> Tensor:
    factor = x.shape[2] // scale.shape[2]
    y = _group_norm(x, weight, bias, groups, epsilon, None, None, None)
    y = y * upsample_nearest(scale, factor) + upsample_nearest(shift, factor)
    return y if activation is None else ACTIVATIONS[activation](y)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rows = ops.MatMul(transpose_b=True)(x.reshape(-1, x.shape[-1]), weight)
    if bias is not None:
        # Not +, which on a CPU keeps an index of 16 bytes for each element that it broadcasts.
        rows = ops.BiasAdd()(rows, bias)
    return rows.reshape((*x.shape[:-1], rows.shape[-1]))


def _activate(x: Tensor, name: str) -> Tensor:
    return ACTIVATIONS[name](x)


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=epsilon)
    y, _, _ = norm(x.astype(ms.float32), weight.astype(ms.float32), bias.astype(ms.float32))
    return y.astype(x.dtype)


def _plain_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None) -> Tensor:
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
def _flash_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None) -> Tensor:
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
