"""The noise convention: numpy draws in place of torch's, in the order in which diffusers asks for them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
import torch
from diffusers.pipelines.kandinsky import pipeline_kandinsky_img2img, pipeline_kandinsky_prior
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm, scheduling_dpmsolver_multistep, scheduling_unclip

from scripts.reference.arrays import Array

_MODULES_THAT_DRAW = (
    pipeline_kandinsky_prior,
    pipeline_kandinsky_img2img,
    scheduling_unclip,
    scheduling_ddim,
    scheduling_ddpm,
    scheduling_dpmsolver_multistep,
)


@contextmanager
def numpy_noise() -> Iterator[list[Array]]:
    """While it is open, diffusers takes a `numpy.random.Generator` wherever it takes a generator.

    Each draw is `generator.standard_normal(shape)` (float64) cast to the dtype asked for, as in mindone.diffusers.
    Yields the list that every draw is appended to, float32.
    """
    drawn: list[Array] = []

    def randn_tensor(
        shape: Sequence[int], generator: np.random.Generator, device: object = None, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        del device  # everything here runs on the CPU
        noise = generator.standard_normal(tuple(shape))
        drawn.append(noise.astype(np.float32))
        return torch.from_numpy(noise).to(dtype)

    with ExitStack() as patches:
        for module in _MODULES_THAT_DRAW:
            patches.enter_context(mock.patch.object(module, "randn_tensor", randn_tensor))
        yield drawn
