"""Random weights under which a wrong network gives wrong numbers.

Freshly initialised networks hide mistakes: their norms are all ones and zeros, many biases, the prior's positions and
its clip_mean are zero. Here nothing is left at a neutral value, and the scale keeps activations near one.
"""

import zlib

import torch
from torch import nn

_NORMS = (nn.LayerNorm, nn.GroupNorm)
_GAINS = {"decoder.conv_out": 0.4}  # MoVQ's last layer: pictures mostly inside −1…1, for clamping hides differences


def fill(model: nn.Module, component: str, seed: int) -> None:
    """Draws every parameter of `model` in place; the same `component` and `seed` always give the same weights."""
    generator = torch.Generator().manual_seed((seed << 32) + zlib.crc32(component.encode()))
    with torch.no_grad():
        for path, module in model.named_modules():
            for name, parameter in module.named_parameters(recurse=False):
                parameter.copy_(_GAINS.get(path, 1.0) * _draw(module, name, parameter.shape, generator))


def _draw(module: nn.Module, name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    normal = torch.randn(shape, generator=generator)
    if name == "clip_std":
        return 0.5 + 0.1 * normal.abs()
    if name == "bias":
        return 0.1 * normal
    if isinstance(module, _NORMS):
        return 1 + 0.1 * normal
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        fan_in = shape[1:].numel()
        return normal * fan_in**-0.5
    return 0.5 * normal  # embeddings, clip_mean
