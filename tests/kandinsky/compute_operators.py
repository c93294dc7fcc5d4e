"""Runs some of the CPU's operators on fixed numbers, and saves what comes out in the file that the argument names.

For processes that differ in how many threads share the work: there is enough of it to be shared, and the sizes leave
threads with unequal parts, or with none.
"""

import sys

import mindspore as ms
import numpy as np
from mindspore import Tensor

from kandinsky.networks.layers import Conv2d, Linear
from kandinsky.ops import Kernels, use_device, with_fast_paths


def main(path: str) -> None:
    """Compute and save."""
    ms.runtime.launch_blocking()
    kernels = with_fast_paths(use_device("CPU"))
    assert kernels.fast is not None
    results = outputs(kernels, np.random.default_rng(0))
    np.savez(
        path, threads=kernels.fast.library.functions.Threads(), **{name: y.asnumpy() for name, y in results.items()}
    )


def outputs(kernels: Kernels, rng: np.random.Generator) -> dict[str, Tensor]:
    """What each operator makes."""

    def normal(*shape: int) -> Tensor:
        return Tensor(rng.standard_normal(shape).astype(np.float32))

    convolution, linear = Conv2d(70, 50, 3, kernels), Linear(800, 96, kernels)
    for layer, shape in ((convolution, (50, 70, 3, 3)), (linear, (96, 800))):
        layer.weight.set_data(normal(*shape))
        assert layer.bias is not None
        layer.bias.set_data(normal(shape[0]))
        layer.pack()
    x = normal(2, 70, 13, 17)
    attend, heads = kernels.attention(3)
    normalise, groups = kernels.group_norm(7, 1e-5, "silu")
    modulate, places = kernels.spatial_norm(7, 1e-5, "silu")
    even, epsilon = kernels.layer_norm(1e-5)
    activate, name = kernels.activation("gelu")
    return {
        "Winograd": convolution(x),
        "direct": convolution(normal(70, 70, 5, 7)),
        "linear": linear(normal(41, 800)),
        "attention": attend(normal(1, 37, 144), normal(1, 90, 144), normal(1, 90, 144), heads),
        "attention of a head of 50": attend(normal(1, 37, 150), normal(1, 90, 150), normal(1, 90, 150), heads),
        "norm of places": modulate(normal(2, 70, 26, 34), normal(70), normal(70), x, normal(2, 70, 13, 17), places),
        "group norm": normalise(x, normal(70), normal(70), groups),
        "layer norm": even(normal(50, 11, 70), normal(70), normal(70), epsilon),
        "activation": activate(normal(50, 333), name),
    }


if __name__ == "__main__":
    main(sys.argv[1])
