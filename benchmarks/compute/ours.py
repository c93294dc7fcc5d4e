"""Our side: MindSpore, compiled, with the CPU's fast paths or without."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mindspore import Tensor, nn

from benchmarks.compute.cases import Case, inputs
from kandinsky.decoder_model import DecoderModel, load_decoder
from kandinsky.loading import Runtime
from kandinsky.networks.unet import UNet
from kandinsky.ops import use_device, with_fast_paths
from kandinsky.prior_model import PriorModel, load_prior

Run = Callable[[], npt.NDArray[Any]]


class _Denoise(nn.Cell):
    """The UNet with its tensors flat, as a compiled graph wants them."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def construct(self, sample: Tensor, timestep: Tensor, added: Tensor, *text: Tensor) -> Tensor:
        """As `UNet.construct`."""
        return self.unet(sample, timestep, added, text)


class Ours:
    """Both tiers of a checkpoint, each loaded when it is first asked for."""

    def __init__(self, checkpoint: Path, *, fast: bool) -> None:
        plain = use_device("CPU")
        self._checkpoint = checkpoint
        self._runtime = Runtime(with_fast_paths(plain) if fast else plain)

    @cached_property
    def _prior(self) -> PriorModel:
        return load_prior(self._checkpoint / "prior", self._runtime)

    @cached_property
    def _decoder(self) -> DecoderModel:
        return load_decoder(self._checkpoint / "decoder", self._runtime)

    def run(self, case: Case) -> Run:
        """The case as a call that computes it, to its end."""
        tensors = {name: Tensor(array) for name, array in inputs(case, self._checkpoint).items()}
        arguments = list(tensors.values())
        match case.part:
            case "unet" | "unet_anew":
                graph, condition = self._runtime.graph(_Denoise(self._decoder.unet.network)), self._decoder._condition
                arguments, conditions = arguments[:2], arguments[2:]
                if case.part == "unet_anew":
                    return lambda: _first(graph(*arguments, *condition(*conditions)))
                # What does not depend on the timestep: once a request, not once a step.
                arguments += condition(*conditions)
            case "prior":
                graph = self._runtime.graph(self._prior.prior.network)
            case "clip_text":
                graph, arguments = self._prior._encode_text, arguments[:1]
            case "xlm_roberta":
                graph = self._decoder._encode_text
            case "movq_encode":
                graph = self._decoder._encode_image
            case _:
                graph = self._decoder._decode_image
        return lambda: _first(graph(*arguments))


def _first(result: Any) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = (result[0] if isinstance(result, tuple) else result).asnumpy()
    return np.ascontiguousarray(array)
