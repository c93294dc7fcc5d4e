"""The prior: predicts a CLIP image embedding from a noisy one and the text (unCLIP, arXiv:2204.06125).

Source of the details: diffusers' PriorTransformer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from kandinsky.activations import ACTIVATIONS
from kandinsky.config import divides, one_of, read_config
from kandinsky.networks.layers import LayerNorm, Linear, Nothing, ResidualLinear, TimestepEmbedding, cells
from kandinsky.ops import MASKED, Kernels
from kandinsky.parameters import parameter


@dataclass(frozen=True)
class PriorConfig:
    """Keys of prior/config.json; defaults are diffusers' own, which are Kandinsky 2.1's."""

    num_attention_heads: int = 32
    attention_head_dim: int = 64
    num_layers: int = 20
    embedding_dim: int = 768
    num_embeddings: int = 77
    additional_embeddings: int = 4
    time_embed_act_fn: str = "silu"
    time_embed_dim: int | None = None
    embedding_proj_dim: int | None = None
    clip_embed_dim: int | None = None
    norm_in_type: str | None = None
    embedding_proj_norm_type: str | None = None

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "PriorConfig":
        """Read a config file's content.

        Raises:
            ConfigError: see `read_config`; or there is not one head, or nothing in it.
        """
        fixed = {"encoder_hid_proj_type": ("linear",), "added_emb_type": ("prd",)}
        config = read_config(cls, raw, "prior", fixed=fixed, irrelevant={"dropout"})
        one_of("prior", "time_embed_act_fn", config.time_embed_act_fn, ACTIVATIONS)
        one_of("prior", "norm_in_type", config.norm_in_type, (None, "layer"))
        one_of("prior", "embedding_proj_norm_type", config.embedding_proj_norm_type, (None, "layer"))
        # The sequence is text, text embedding, time, noisy image embedding, and the token that is read.
        one_of("prior", "additional_embeddings", config.additional_embeddings, (4,))
        divides("prior", "num_attention_heads", config.num_attention_heads, "the width", config.width)
        return config

    @property
    def width(self) -> int:
        """Width of the transformer."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def output_dim(self) -> int:
        """Width of the predicted image embedding."""
        return self.embedding_dim if self.clip_embed_dim is None else self.clip_embed_dim


class PriorAttention(nn.Cell):
    """Multi-head self-attention, added to a residual: twice (b, n, width) → (b, n, width)."""

    def __init__(self, width: int, heads: int, kernels: Kernels) -> None:
        super().__init__()
        self.to_q = Linear(width, width, kernels)
        self.to_k = Linear(width, width, kernels)
        self.to_v = Linear(width, width, kernels)
        self.to_out = cells([ResidualLinear(width, width, kernels)])
        self.attend, self.settings = kernels.attention(heads)

    def construct(self, x: Tensor, bias: Tensor, residual: Tensor) -> Tensor:
        return self.to_out[0](self.attend(self.to_q(x), self.to_k(x), self.to_v(x), self.settings, bias), residual)


class GeluProjection(nn.Cell):
    """A linear layer followed by GELU: (…, width) → (…, out_features)."""

    def __init__(self, width: int, out_features: int, kernels: Kernels) -> None:
        super().__init__()
        self.proj = Linear(width, out_features, kernels)
        self.activate, self.activation = kernels.activation("gelu")

    def construct(self, x: Tensor) -> Tensor:
        return self.activate(self.proj(x), self.activation)


class PriorFeedForward(nn.Cell):
    """Expand by four, GELU, contract, added to a residual: twice (b, n, width) → (b, n, width)."""

    def __init__(self, width: int, kernels: Kernels) -> None:
        super().__init__()
        out = ResidualLinear(4 * width, width, kernels)
        self.net = cells([GeluProjection(width, 4 * width, kernels), Nothing(), out])

    def construct(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.net[2](self.net[0](x), residual)


class PriorBlock(nn.Cell):
    """Attention and feed-forward, each behind a norm and around a residual."""

    def __init__(self, width: int, heads: int, kernels: Kernels) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width, kernels)
        self.attn1 = PriorAttention(width, heads, kernels)
        self.norm3 = LayerNorm(width, kernels)
        self.ff = PriorFeedForward(width, kernels)

    def construct(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.attn1(self.norm1(x), bias, x)
        return self.ff(self.norm3(x), x)


class PriorTransformer(nn.Cell):
    """A noisy image embedding and a text to a prediction of the clean image embedding.

    Args of a call:
        hidden_states: (b, embedding_dim), the noisy image embedding.
        timestep: (b,), 0 … 999.
        proj_embedding: (b, embedding_proj_dim), the text embedding.
        encoder_hidden_states: (b, num_embeddings, embedding_dim), the text's hidden states.
        attention_mask: (b, num_embeddings), 1 for a token, 0 for padding.

    Returns:
        (b, clip_embed_dim), normalised; `denormalise` gives the CLIP embedding.
    """

    def __init__(self, config: PriorConfig, kernels: Kernels) -> None:
        super().__init__()
        width, length = config.width, config.num_embeddings + config.additional_embeddings
        text_width = config.embedding_dim if config.embedding_proj_dim is None else config.embedding_proj_dim
        self.time_embedding = TimestepEmbedding(
            width,
            width if config.time_embed_dim is None else config.time_embed_dim,
            width,
            kernels,
            flip_sin_to_cos=True,
            frequency_shift=0,
            activation=config.time_embed_act_fn,
        )
        self.proj_in = Linear(config.embedding_dim, width, kernels)
        self.embedding_proj_norm = LayerNorm(text_width, kernels) if config.embedding_proj_norm_type else None
        self.embedding_proj = Linear(text_width, width, kernels)
        self.encoder_hidden_states_proj = Linear(config.embedding_dim, width, kernels)
        self.positional_embedding = parameter(1, length, width)
        self.prd_embedding = parameter(1, 1, width)
        self.norm_in = LayerNorm(width, kernels) if config.norm_in_type else None
        self.transformer_blocks = cells(
            [PriorBlock(width, config.num_attention_heads, kernels) for _ in range(config.num_layers)]
        )
        self.norm_out = LayerNorm(width, kernels)
        self.proj_to_clip_embeddings = Linear(width, config.output_dim, kernels)
        self.clip_mean = parameter(1, config.output_dim)
        self.clip_std = parameter(1, config.output_dim)
        self.causal_bias = Tensor(np.triu(np.full((1, 1, length, length), MASKED, np.float32), 1))
        self.additional = config.additional_embeddings

    def construct(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        proj_embedding: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor,
    ) -> Tensor:
        x = self._sequence(hidden_states, timestep, proj_embedding, encoder_hidden_states)
        if self.norm_in is not None:
            x = self.norm_in(x)
        bias = self._bias(attention_mask).astype(x.dtype)
        for block in self.transformer_blocks:
            x = block(x, bias)
        return self.proj_to_clip_embeddings(self.norm_out(x)[:, -1])

    def denormalise(self, embedding: Tensor) -> Tensor:
        """Undo the normalisation the prior was trained under: (b, clip_embed_dim) → (b, clip_embed_dim)."""
        return embedding * self.clip_std + self.clip_mean

    def _sequence(
        self, hidden_states: Tensor, timestep: Tensor, proj_embedding: Tensor, encoder_hidden_states: Tensor
    ) -> Tensor:
        b = hidden_states.shape[0]
        if self.embedding_proj_norm is not None:
            proj_embedding = self.embedding_proj_norm(proj_embedding)
        tokens = (
            self.encoder_hidden_states_proj(encoder_hidden_states),
            self.embedding_proj(proj_embedding).expand_dims(1),
            self.time_embedding(timestep).expand_dims(1),
            self.proj_in(hidden_states).expand_dims(1),
            ops.broadcast_to(self.prd_embedding, (b, 1, self.prd_embedding.shape[-1])),
        )
        # 77 text tokens and 4 more → (b, 81, width)
        return ops.cat(tokens, 1) + self.positional_embedding

    def _bias(self, attention_mask: Tensor) -> Tensor:
        b = attention_mask.shape[0]
        padding = (1 - attention_mask.astype(ms.float32)) * MASKED
        padding = ops.cat((padding, ops.zeros((b, self.additional), ms.float32)), 1)
        # (b, 81) and (1, 1, 81, 81) → (b, 1, 81, 81)
        return padding.reshape(b, 1, 1, -1) + self.causal_bias
