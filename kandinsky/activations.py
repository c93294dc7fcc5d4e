"""The activations that the networks' configs name."""

from collections.abc import Callable

from mindspore import Tensor, ops


def quick_gelu(x: Tensor) -> Tensor:
    """The sigmoid approximation of GELU that OpenAI's CLIP was trained with."""
    return x * ops.sigmoid(1.702 * x)


def gelu(x: Tensor) -> Tensor:
    """GELU by the error function (arXiv:1606.08415), as torch's default; MindSpore's default is the tanh form."""
    return ops.gelu(x, approximate="none")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "quick_gelu": quick_gelu,
    "relu": ops.relu,
    "silu": ops.silu,
    "swish": ops.silu,
}
