"""CLIP's text tower with projection: token ids → text embedding and hidden states.

Source: arXiv:2103.00020; transformers' CLIPTextModelWithProjection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from kandinsky.activations import ACTIVATIONS
from kandinsky.config import TRANSFORMERS_IRRELEVANT, divides, one_of, read_config
from kandinsky.networks.clip_encoder import ClipEncoder, EncoderShape
from kandinsky.networks.layers import Embedding, LayerNorm, Linear
from kandinsky.ops import MASKED, Kernels


@dataclass(frozen=True)
class ClipTextConfig:
    """Keys of text_encoder/config.json; defaults are transformers' own."""

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    eos_token_id: int = 49407

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "ClipTextConfig":
        """Read a config file's content.

        Raises:
            ConfigError: see `read_config`; or the sizes contradict each other.
        """
        config = read_config(
            cls,
            raw,
            "text_encoder",
            fixed={},
            irrelevant=TRANSFORMERS_IRRELEVANT - {"eos_token_id"},
            from_zero={"eos_token_id"},
        )
        one_of("text_encoder", "hidden_act", config.hidden_act, ACTIVATIONS)
        divides("text_encoder", "num_attention_heads", config.num_attention_heads, "hidden_size", config.hidden_size)
        return config


class TextEmbeddings(nn.Cell):
    """Token plus position embedding: (b, n) → (b, n, width)."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.token_embedding = Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = Embedding(config.max_position_embeddings, config.hidden_size)

    def construct(self, input_ids: Tensor) -> Tensor:
        return self.token_embedding(input_ids) + self.position_embedding.weight[: input_ids.shape[1]]


class TextTransformer(nn.Cell):
    """Embeddings, causal encoder, final norm: (b, n) → (b, n, width)."""

    def __init__(self, config: ClipTextConfig, kernels: Kernels) -> None:
        super().__init__()
        width, length = config.hidden_size, config.max_position_embeddings
        shape = EncoderShape(
            width,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.intermediate_size,
            config.hidden_act,
            config.layer_norm_eps,
        )
        self.embeddings = TextEmbeddings(config)
        self.encoder = ClipEncoder(shape, kernels)
        self.final_layer_norm = LayerNorm(width, kernels, config.layer_norm_eps)
        self.causal_bias = Tensor(np.triu(np.full((1, 1, length, length), MASKED, np.float32), 1))

    def construct(self, input_ids: Tensor) -> Tensor:
        n = input_ids.shape[1]
        x = self.embeddings(input_ids)
        return self.final_layer_norm(self.encoder(x, self.causal_bias[:, :, :n, :n].astype(x.dtype)))


class ClipTextEncoder(nn.Cell):
    """Token ids to text embeddings.

    Args of a call:
        input_ids: (b, n) int32, n ≤ max_position_embeddings.

    Returns:
        text_embeds: (b, projection_dim), the projected state of the end-of-text token.
        last_hidden_state: (b, n, hidden_size), after the final norm.
    """

    def __init__(self, config: ClipTextConfig, kernels: Kernels) -> None:
        super().__init__()
        self.text_model = TextTransformer(config, kernels)
        self.text_projection = Linear(config.hidden_size, config.projection_dim, kernels, bias=False)
        # transformers: a config that says 2 dates from before the id was stored; there the end is the largest id.
        self.end_is_largest_id = config.eos_token_id == 2
        self.eos_token_id = config.eos_token_id

    def construct(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        b, n = input_ids.shape
        hidden_states = self.text_model(input_ids)
        marks = input_ids if self.end_is_largest_id else (input_ids == self.eos_token_id).astype(ms.int32)
        end = ops.argmax(marks.astype(ms.float32), 1).astype(ms.int32)
        rows = ops.gather(hidden_states.reshape(b * n, -1), ops.arange(b).astype(ms.int32) * n + end, 0)
        return self.text_projection(rows), hidden_states
