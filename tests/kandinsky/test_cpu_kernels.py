"""The CPU's fast paths compute what the plain operators do, at random shapes."""

import os
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from kandinsky.cpu_kernels.library import Library
from kandinsky.memory import aligned
from kandinsky.networks.layers import Conv2d, GroupNorm, Linear, ResidualConv2d, ResidualLinear, ScaledGroupNorm
from kandinsky.ops import MASKED, Kernels, use_device, with_fast_paths
from kandinsky.parameters import assign
from tests.kandinsky.models import Array, check

# Of the largest magnitude; docs/numerics.md claims them. Winograd's transforms lose a digit against a sum of products;
# attention loses what large logits lose in float32.
CONVOLUTION, PRODUCT, NORM, ATTENTION, ACTIVATION = 3e-5, 2e-6, 2e-6, 1e-5, 1e-6
PEAKED_ATTENTION = 3e-5


@pytest.fixture(scope="module")
def plain() -> Kernels:
    return use_device("CPU")


@pytest.fixture(scope="module")
def fast(plain: Kernels, library: Library) -> Kernels:
    return with_fast_paths(plain)


def tensor(rng: np.random.Generator, *shape: int) -> Tensor:
    return Tensor(rng.standard_normal(shape).astype(np.float32))


class Attend(nn.Cell):
    """A table's attention as a cell, to compile it."""

    def __init__(self, kernels: Kernels, heads: int) -> None:
        super().__init__()
        self.heads, self.kernels = heads, kernels

    def construct(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        attend, settings = self.kernels.attention(self.heads)
        return attend(query, key, value, settings) if bias is None else attend(query, key, value, settings, bias)


@pytest.mark.parametrize("chance", range(12))
def test_a_packed_convolution_is_the_plain_one(chance: int, plain: Kernels, fast: Kernels) -> None:
    rng = np.random.default_rng(chance)
    c_in, c_out = (int(channels) for channels in rng.integers(1, 20 if chance % 3 == 0 else 70, 2))
    b, h, w = int(rng.integers(1, 4)), int(rng.integers(12, 40)), int(rng.integers(12, 40))
    residuals = (tensor(rng, b, c_out, h, w),) if chance % 2 else ()
    kind = ResidualConv2d if residuals else Conv2d
    layers = [kind(c_in, c_out, 3, kernels) for kernels in (plain, fast)]
    weight, bias = tensor(rng, c_out, c_in, 3, 3), tensor(rng, c_out)
    for layer in layers:
        layer.weight.set_data(weight)
        assert layer.bias is not None
        layer.bias.set_data(bias)
        layer.pack()
    assert layers[0].convolve is plain.conv2d
    assert layers[1].settings.ndim == 4
    given = (tensor(rng, b, c_in, h, w), *residuals)
    expected = layers[0](*given).asnumpy()
    check("eager", layers[1](*given).asnumpy(), expected, relative=CONVOLUTION)
    if chance % 4 < 2:
        check("compiled", ms.jit(layers[1].construct)(*given).asnumpy(), expected, relative=CONVOLUTION)


@pytest.mark.parametrize(
    ("c_in", "height", "width"),
    [
        (512, 16, 16),
        (768, 16, 16),
        (1536, 12, 12),  # the most of Kandinsky 2.1's
        # Thin maps: one row of tiles, most of which are cut off.
        (32, 8, 24),
        (32, 2, 72),
        (32, 1, 200),
        (32, 200, 1),
    ],
)
def test_a_packed_convolution_of_many_channels_or_a_thin_map_is_the_plain_one(
    c_in: int, height: int, width: int, plain: Kernels, fast: Kernels
) -> None:
    rng = np.random.default_rng(0)
    weight, x = tensor(rng, 64, c_in, 3, 3), tensor(rng, 2, c_in, height, width)
    layers = [Conv2d(c_in, 64, 3, kernels) for kernels in (plain, fast)]
    for layer in layers:
        layer.weight.set_data(weight)
        layer.pack()
    assert layers[1].settings.ndim == 4
    check("eager", layers[1](x).asnumpy(), layers[0](x).asnumpy(), relative=CONVOLUTION)


@pytest.mark.parametrize("chance", range(12))
def test_a_direct_convolution_is_the_plain_one(chance: int, plain: Kernels, fast: Kernels) -> None:
    rng = np.random.default_rng(chance)
    c_in, c_out = (int(channels) for channels in rng.integers(1, 70, 2))
    b, h, w = int(rng.integers(1, 4)), int(rng.integers(1, 12)), int(rng.integers(1, 12))
    kernel = int(rng.choice([1, 3, 5]))
    if chance % 3 == 0:
        c_in, kernel = 500, 3  # deeper than one panel
    x, weight, bias = tensor(rng, b, c_in, h, w), tensor(rng, c_out, c_in, kernel, kernel), tensor(rng, c_out)
    residuals = (tensor(rng, b, c_out, h, w),) if chance % 2 else ()
    expected = plain.conv2d(x, weight, bias, (1, ((kernel - 1) // 2,) * 4), *residuals).asnumpy()
    assert fast.fast is not None
    found = fast.fast.convolution(x, weight, bias, fast.fast.not_packed, *residuals).asnumpy()
    check("eager", found, expected, relative=PRODUCT)


def test_a_block_of_pixels_with_a_gap_and_a_repeated_end_is_no_run(plain: Kernels, fast: Kernels) -> None:
    # 3 · 6 · 7 pixels: in the last block of 32 the end repeats, by as much as the rows' padding is wide.
    rng = np.random.default_rng(0)
    x, weight, bias = tensor(rng, 3, 23, 6, 7), tensor(rng, 22, 23, 3, 3), tensor(rng, 22)
    assert fast.fast is not None
    found = fast.fast.convolution(x, weight, bias, fast.fast.not_packed).asnumpy()
    check("eager", found, plain.conv2d(x, weight, bias, (1, (1, 1, 1, 1))).asnumpy(), relative=PRODUCT)


@pytest.mark.parametrize("chance", range(12))
def test_a_packed_linear_layer_is_the_plain_one(chance: int, plain: Kernels, fast: Kernels) -> None:
    rng = np.random.default_rng(chance)
    # More than one partial sum deep, fewer and more rows than are computed at once, and panels fewer than threads.
    depth, features = int(rng.integers(1, 600)), 32 * int(rng.choice([1, 2, 9]))
    shape = tuple(int(side) for side in rng.integers(1, 30, int(rng.integers(1, 3))))
    residuals = (tensor(rng, *shape, features),) if chance % 2 else ()
    kind = ResidualLinear if residuals else Linear
    layers = [kind(depth, features, kernels) for kernels in (plain, fast)]
    weight, bias = tensor(rng, features, depth), tensor(rng, features)
    for layer in layers:
        layer.weight.set_data(weight.copy())  # which is packed in place
        assert layer.bias is not None
        layer.bias.set_data(bias)
        layer.pack()
    assert layers[0].multiply is plain.linear
    assert layers[1].multiply is not plain.linear
    given = (tensor(rng, *shape, depth), *residuals)
    expected = layers[0](*given).asnumpy()
    check("eager", layers[1](*given).asnumpy(), expected, relative=PRODUCT)
    if chance % 4 < 2:
        check("compiled", ms.jit(layers[1].construct)(*given).asnumpy(), expected, relative=PRODUCT)


def test_a_deep_linear_layer_is_the_plain_one(plain: Kernels, fast: Kernels) -> None:
    rng = np.random.default_rng(0)
    weight, x = tensor(rng, 256, 8192), tensor(rng, 81, 8192)
    results = []
    for kernels in (plain, fast):
        layer = Linear(8192, 256, kernels)
        layer.weight.set_data(weight.copy())  # which is packed in place
        layer.pack()
        results.append(layer(x).asnumpy())
    check("eager", results[1], results[0], relative=PRODUCT)


def test_a_row_of_a_linear_layer_does_not_depend_on_the_others(fast: Kernels) -> None:
    rng = np.random.default_rng(0)
    layer = Linear(300, 64, fast)
    layer.weight.set_data(tensor(rng, 64, 300))
    layer.pack()
    x = tensor(rng, 29, 300)
    together = layer(x).asnumpy()
    for row in (0, 11, 12, 28):
        np.testing.assert_array_equal(layer(x[row : row + 1]).asnumpy()[0], together[row])


@pytest.mark.parametrize("offset", [0, 1])
def test_weights_are_laid_out_where_they_are_or_else_from_a_cache_line_on(
    offset: int, plain: Kernels, fast: Kernels
) -> None:
    rng = np.random.default_rng(0)
    given = aligned(offset + 64 * 300, np.float32)[offset:].reshape(64, 300)
    given[...] = rng.standard_normal(given.shape)
    before, x = given.copy(), tensor(rng, 5, 300)
    layers = [Linear(300, 64, kernels) for kernels in (plain, fast)]
    for layer in layers:
        assign(layer.weight, given)
        results = layer(x).asnumpy()
        layer.pack()
        check("linear", layer(x).asnumpy(), results, relative=PRODUCT)
    laid_out = layers[1].weight.asnumpy()
    assert laid_out.ctypes.data % 64 == 0
    assert not np.array_equal(laid_out, before)
    assert np.array_equal(given, before) == bool(offset)


@pytest.mark.parametrize(("bias", "features"), [(False, 32), (True, 33)])
def test_a_linear_layer_without_a_bias_or_of_an_odd_width_stays_plain(
    bias: bool, features: int, plain: Kernels, fast: Kernels
) -> None:
    rng = np.random.default_rng(0)
    weight, x = tensor(rng, features, 20), tensor(rng, 3, 20)
    results = []
    for kernels in (plain, fast):
        layer = Linear(20, features, kernels, bias=bias)
        layer.weight.set_data(weight)
        layer.pack()
        assert layer.multiply is plain.linear
        results.append(layer(x).asnumpy())
    np.testing.assert_array_equal(results[1], results[0])


@pytest.mark.parametrize("name", ["silu", "swish", "gelu", "quick_gelu", "relu"])
def test_an_activation_is_the_plain_one(name: str, plain: Kernels, fast: Kernels) -> None:
    x = Tensor(np.concatenate([np.linspace(-12, 12, 4801), [-1e4, -90.0, 90.0, 1e4]]).astype(np.float32))
    results = []
    for kernels in (plain, fast):
        activate, settings = kernels.activation(name)
        results.append(activate(x, settings).asnumpy())
    check(name, results[1], results[0], relative=0.0, absolute=ACTIVATION)


@pytest.mark.parametrize("chance", range(6))
def test_the_shared_layer_norm_is_the_plain_one(chance: int, plain: Kernels, fast: Kernels) -> None:
    rng = np.random.default_rng(chance)
    width = int(rng.integers(2, 300))
    x, weight, bias = tensor(rng, 3, int(rng.integers(1, 20)), width) * 3 + 5, tensor(rng, width), tensor(rng, width)
    results = []
    for kernels in (plain, fast):
        normalise, settings = kernels.layer_norm(1e-5)
        results.append(normalise(x, weight, bias, settings).asnumpy())
    check("norm", results[1], results[0], relative=NORM)


@pytest.mark.parametrize("chance", range(12))
def test_the_fused_spatial_norm_is_the_plain_one(chance: int, plain: Kernels, fast: Kernels) -> None:
    rng = np.random.default_rng(chance)
    groups, width, factor = int(rng.choice([1, 4, 32])), int(rng.integers(1, 5)), int(rng.choice([1, 2, 8]))
    b, channels = int(rng.integers(1, 4)), groups * width
    h, w = int(rng.integers(2, 7)), int(rng.integers(2, 7))
    x = tensor(rng, b, channels, h * factor, w * factor) * 3 + 5
    vectors, maps = [tensor(rng, channels) for _ in range(2)], [tensor(rng, b, channels, h, w) for _ in range(2)]
    activation = (None, "silu", "gelu")[chance % 3]
    results = []
    for kernels in (plain, fast):
        normalise, settings = kernels.spatial_norm(groups, 1e-6, activation)
        results.append(normalise(x, *vectors, *maps, settings).asnumpy())
    check("norm", results[1], results[0], relative=NORM)


@pytest.mark.parametrize("chance", range(12))
def test_the_fused_norm_is_the_plain_one(chance: int, plain: Kernels, fast: Kernels) -> None:
    rng = np.random.default_rng(chance)
    groups, width = int(rng.choice([1, 4, 32])), int(rng.integers(1, 5))
    b, channels = int(rng.integers(1, 4)), groups * width
    x = tensor(rng, b, channels, int(rng.integers(1, 40)), int(rng.integers(1, 40))) * 3 + 5
    times = () if chance % 2 else (tensor(rng, b, 2 * channels),)
    kind = ScaledGroupNorm if times else GroupNorm
    results = []
    for kernels in (plain, fast):
        layer = kind(groups, channels, 1e-5, kernels, (None, "silu", "relu")[chance % 3])
        layer.weight.set_data(Tensor(np.linspace(-1, 2, channels, dtype=np.float32)))
        layer.bias.set_data(Tensor(np.linspace(1, -1, channels, dtype=np.float32)))
        results.append(layer(x, *times).asnumpy())
    # One value a group: both are 0, to rounding.
    check("norm", results[1], results[0], relative=NORM, absolute=1e-5 if width * x.shape[2] * x.shape[3] == 1 else 0.0)


@pytest.mark.parametrize("chance", range(20))
def test_blocked_attention_is_the_plain_one(chance: int, plain: Kernels, fast: Kernels) -> None:
    rng = np.random.default_rng(chance)
    # Whole vectors, less than one, and more.
    heads, head_dim = int(rng.integers(1, 5)), (16, 80, 1, 40, 8, 32, 15, 64, 17, 90)[chance // 2]
    b, n, m = int(rng.integers(1, 3)), int(rng.integers(1, 200)), int(rng.integers(1, 200))
    query, key, value = (tensor(rng, b, tokens, heads * head_dim) * 3 for tokens in (n, m, m))
    shape = (None, (b, 1, 1, m), (1, 1, n, m), (b, 1, n, m), (b, heads, n, m))[chance % 5]
    bias = None if shape is None else Tensor(rng.choice([0.0, MASKED], shape, p=[0.7, 0.3]).astype(np.float32))
    expected = Attend(plain, heads)(query, key, value, bias).asnumpy()
    check("eager", Attend(fast, heads)(query, key, value, bias).asnumpy(), expected, relative=ATTENTION)


@pytest.mark.parametrize(("scale", "relative"), [(2, ATTENTION), (4, PEAKED_ATTENTION)])
def test_attention_of_one_wide_head_is_the_plain_one(
    scale: int, relative: float, plain: Kernels, fast: Kernels
) -> None:
    rng = np.random.default_rng(0)
    query, key, value = (tensor(rng, 1, tokens, 512) * scale for tokens in (250, 300, 300))
    expected = Attend(plain, 1)(query, key, value, None).asnumpy()
    check("eager", Attend(fast, 1)(query, key, value, None).asnumpy(), expected, relative=relative)


def test_what_the_operators_do_not_cover_takes_the_plain_path(plain: Kernels, fast: Kernels) -> None:
    assert fast.of_dtype("float16") is plain
    assert fast.of_dtype("float32") is fast
    assert fast.activation("relu") == plain.activation("relu")
    for channels, kernel, options in (
        (32, 3, {"stride": 2, "padding": (1, 1, 1, 1)}),
        (32, 3, {"padding": (0, 2, 0, 2)}),
        (32, 3, {"bias": False}),
        (8, 1, {}),
    ):
        other = Conv2d(32, channels, kernel, fast, **options)
        other.pack()
        assert other.convolve is plain.conv2d
    half = Conv2d(32, 32, 3, fast)
    half.weight.set_dtype(ms.float16)
    half.pack()
    assert half.convolve is plain.conv2d


def test_sizes_that_do_not_fall_into_equal_parts_are_no_result(fast: Kernels) -> None:
    rng = np.random.default_rng(0)
    x, small, ones = tensor(rng, 1, 10, 4, 4), tensor(rng, 1, 10, 3, 3), Tensor(np.ones(10, np.float32))
    tokens = tensor(rng, 1, 3, 33)
    normalise, four_groups = fast.group_norm(4, 1e-5, None)
    modulate, five_groups = fast.spatial_norm(5, 1e-5, None)
    attend, two_heads = fast.attention(2)
    for action in (
        lambda: normalise(x, ones, ones, four_groups),
        lambda: modulate(x, ones, ones, x, x, four_groups),
        lambda: modulate(x, ones, ones, small, small, five_groups),
        lambda: attend(tokens, tokens, tokens, two_heads),
    ):
        with pytest.raises(RuntimeError, match="Return value from CPU AOT kernel"):
            action().asnumpy()


@pytest.fixture(scope="module")
def alone(library: Library, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Array]:
    """What the operators compute on one thread."""
    return computed(1, tmp_path_factory.mktemp("threads"))


def computed(threads: int, folder: Path) -> dict[str, Array]:
    path = folder / f"{threads}.npz"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, "-m", "tests.kandinsky.compute_operators", str(path)], env=environment, check=True)
    with np.load(path) as arrays:
        results: dict[str, Array] = dict(arrays)
    assert results.pop("threads") == threads
    return results


@pytest.mark.parametrize("threads", [3, 16])
def test_threads_share_the_work_and_change_no_bit(threads: int, alone: dict[str, Array], tmp_path: Path) -> None:
    shared = computed(threads, tmp_path)
    assert shared.keys() == alone.keys()
    for name, expected in alone.items():
        np.testing.assert_array_equal(shared[name].view(np.uint32), expected.view(np.uint32), name)
