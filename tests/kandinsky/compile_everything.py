"""Compiles every graph that serving needs, from the tables of the device that the argument names, on a CPU.

Run with MS_DEV_SAVE_GRAPHS=1: MindSpore then writes each graph down. In float32 Ascend's table needs no Ascend kernel.
"""

import sys

import mindspore as ms
from mindspore import Tensor, ops

from kandinsky.decoder_model import load_decoder
from kandinsky.loading import Runtime
from kandinsky.ops import kernels_for, use_device
from kandinsky.pipeline import img2img, prior
from kandinsky.prior_model import load_prior
from tests.kandinsky.models import Reference


def main(table: str) -> None:
    """Compile all graphs of a table, or, for "lgamma", one graph with an operator that Ascend lacks."""
    use_device("CPU")
    if table == "lgamma":
        ms.jit(_lgamma)(Tensor([1.0], ms.float32))
        return
    runtime, reference = Runtime(kernels_for(table)), Reference("tiny")
    prior_model = load_prior(reference.folder / "prior", runtime)
    decoder_model = load_decoder(reference.folder / "decoder", runtime)
    embeddings = prior(prior_model, "a cat", seed=0, steps=2)
    # Two images, so that there is something to join.
    values = {"seed": 0, "width": 16, "height": 16, "steps": 2, "num_images": 2}
    img2img(decoder_model, reference.picture(), embeddings, "a cat", strength=0.5, **values)


def _lgamma(x: Tensor) -> Tensor:
    return ops.Lgamma()(x)


if __name__ == "__main__":
    main(sys.argv[1])
