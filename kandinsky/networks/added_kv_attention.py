"""Attention of the UNet: over the picture's own positions and, in the same softmax, over the text.

Source: diffusers' Attention with AttnAddedKVProcessor (GLIDE, arXiv:2112.10741). The text's keys and values do not
depend on the timestep, so they are computed once a request by `text_key_value` and handed to every step.
"""

from dataclasses import dataclass

from mindspore import Tensor, nn, ops

from kandinsky.networks.layers import GroupNorm, Linear, Nothing, cells
from kandinsky.ops import Kernels

# Set by diffusers for this block whatever the UNet's norm_eps is.
_EPSILON = 1e-5


@dataclass(frozen=True)
class AttentionShape:
    """Sizes of one attention layer; `only_text` leaves the picture's own positions out."""

    channels: int
    head_dim: int
    text_channels: int
    groups: int
    only_text: bool


class AddedKvAttention(nn.Cell):
    """Residual attention over text and picture.

    Args of a call:
        x: (b, channels, h, w).
        text_key, text_value: (b, tokens, heads·head_dim), from `text_key_value`.

    Returns:
        Like x.
    """

    def __init__(self, shape: AttentionShape, kernels: Kernels) -> None:
        super().__init__()
        heads = shape.channels // shape.head_dim
        inner = heads * shape.head_dim
        self.group_norm = GroupNorm(shape.groups, shape.channels, _EPSILON, kernels)
        self.to_q = Linear(shape.channels, inner, kernels)
        self.to_k = Nothing() if shape.only_text else Linear(shape.channels, inner, kernels)
        self.to_v = Nothing() if shape.only_text else Linear(shape.channels, inner, kernels)
        self.add_k_proj = Linear(shape.text_channels, inner, kernels)
        self.add_v_proj = Linear(shape.text_channels, inner, kernels)
        self.to_out = cells([Linear(inner, shape.channels, kernels)])
        self.channels = shape.channels
        self.only_text = shape.only_text
        self.attend, self.settings = kernels.attention(heads)

    def text_key_value(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the text: (b, tokens, text_channels) → twice (b, tokens, heads·head_dim)."""
        return self.add_k_proj(context), self.add_v_proj(context)

    def construct(self, x: Tensor, text_key: Tensor, text_value: Tensor) -> Tensor:
        # (b, c, h, w) → (b, h·w, c)
        tokens = self.group_norm(x).reshape(x.shape[0], self.channels, -1).transpose(0, 2, 1)
        key, value = text_key, text_value
        if not self.only_text:
            key = ops.cat((text_key, self.to_k(tokens)), 1)
            value = ops.cat((text_value, self.to_v(tokens)), 1)
        mixed = self.to_out[0](self.attend(self.to_q(tokens), key, value, self.settings))
        return x + mixed.transpose(0, 2, 1).reshape(x.shape)
