"""M-CLIP's text tower: XLM-RoBERTa, mean pooling, and a linear head into CLIP's embedding space.

Sources: arXiv:1911.02116 (XLM-R); Multilingual-CLIP (Carlsson et al., LREC 2022); diffusers' MultilingualCLIP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from kandinsky.activations import ACTIVATIONS
from kandinsky.config import TRANSFORMERS_IRRELEVANT, divides, one_of, read_config
from kandinsky.networks.layers import Embedding, LayerNorm, Linear, ResidualLinear, cells
from kandinsky.ops import MASKED, Kernels

# Notes on where the released model came from; they change nothing.
_FIXED: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "position_embedding_type": ("absolute",),
}
_NOTES = frozenset({"modelBase"})


@dataclass(frozen=True)
class XlmRobertaConfig:
    """Keys of text_encoder/config.json; defaults are transformers' and diffusers' own.

    The embedding width is numDims in the files that transformers writes and imageDimSize in older ones.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 1
    numDims: int | None = None  # noqa: N815 - the file's spelling
    imageDimSize: int = 768  # noqa: N815 - the file's spelling
    transformerDimensions: int | None = None  # noqa: N815 - the file's spelling
    transformerDimSize: int = 1024  # noqa: N815 - the file's spelling

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "XlmRobertaConfig":
        """Read a config file's content.

        Raises:
            ConfigError: see `read_config`; or the sizes contradict each other.
        """
        irrelevant = (TRANSFORMERS_IRRELEVANT | _NOTES) - {"pad_token_id"}
        config = read_config(cls, raw, "text_encoder", fixed=_FIXED, irrelevant=irrelevant, from_zero={"pad_token_id"})
        one_of("text_encoder", "hidden_act", config.hidden_act, ACTIVATIONS)
        one_of("text_encoder", "transformerDimensions", config.pooled_width, (config.hidden_size,))
        divides("text_encoder", "num_attention_heads", config.num_attention_heads, "hidden_size", config.hidden_size)
        return config

    @property
    def output_dim(self) -> int:
        """Width of the text embedding."""
        return self.imageDimSize if self.numDims is None else self.numDims

    @property
    def pooled_width(self) -> int:
        """What the linear head takes; it must be the encoder's width."""
        return self.transformerDimSize if self.transformerDimensions is None else self.transformerDimensions


class Embeddings(nn.Cell):
    """Token, position and segment embeddings, normalised: (b, n) → (b, n, width)."""

    def __init__(self, config: XlmRobertaConfig, kernels: Kernels) -> None:
        super().__init__()
        self.word_embeddings = Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = LayerNorm(config.hidden_size, kernels, config.layer_norm_eps)
        self.pad_token_id = config.pad_token_id

    def construct(self, input_ids: Tensor) -> Tensor:
        # Positions count tokens, not places: padding stays at pad_token_id, the first token is at pad_token_id + 1.
        is_token = (input_ids != self.pad_token_id).astype(ms.float32)
        positions = (ops.cumsum(is_token, 1) * is_token).astype(ms.int32) + self.pad_token_id
        words = self.word_embeddings(input_ids) + self.token_type_embeddings.weight[0]
        return self.LayerNorm(words + self.position_embeddings(positions))


class SelfAttention(nn.Cell):
    """The projections and the mixing: (b, n, width) → (b, n, width)."""

    def __init__(self, config: XlmRobertaConfig, kernels: Kernels) -> None:
        super().__init__()
        self.query = Linear(config.hidden_size, config.hidden_size, kernels)
        self.key = Linear(config.hidden_size, config.hidden_size, kernels)
        self.value = Linear(config.hidden_size, config.hidden_size, kernels)
        heads = config.num_attention_heads
        self.attend, self.settings = kernels.attention(heads)

    def construct(self, x: Tensor, bias: Tensor) -> Tensor:
        return self.attend(self.query(x), self.key(x), self.value(x), self.settings, bias)


class ResidualOutput(nn.Cell):
    """A linear layer, the residual, then the norm (post-norm): (b, n, in_features) → (b, n, width)."""

    def __init__(self, in_features: int, config: XlmRobertaConfig, kernels: Kernels) -> None:
        super().__init__()
        self.dense = ResidualLinear(in_features, config.hidden_size, kernels)
        self.LayerNorm = LayerNorm(config.hidden_size, kernels, config.layer_norm_eps)

    def construct(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x, residual))


class Attention(nn.Cell):
    """Self-attention with its output layer. `self` is the checkpoint's name, so it is set as an attribute by name."""

    def __init__(self, config: XlmRobertaConfig, kernels: Kernels) -> None:
        super().__init__()
        self.insert_child_to_cell("self", SelfAttention(config, kernels))
        self.output = ResidualOutput(config.hidden_size, config, kernels)
        self.mix = self._cells["self"]

    def construct(self, x: Tensor, bias: Tensor) -> Tensor:
        return self.output(self.mix(x, bias), x)


class Intermediate(nn.Cell):
    """The wide half of the feed-forward: (b, n, width) → (b, n, intermediate_size)."""

    def __init__(self, config: XlmRobertaConfig, kernels: Kernels) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.intermediate_size, kernels)
        self.activate, self.activation = kernels.activation(config.hidden_act)

    def construct(self, x: Tensor) -> Tensor:
        return self.activate(self.dense(x), self.activation)


class Layer(nn.Cell):
    """One encoder layer: (b, n, width) → (b, n, width)."""

    def __init__(self, config: XlmRobertaConfig, kernels: Kernels) -> None:
        super().__init__()
        self.attention = Attention(config, kernels)
        self.intermediate = Intermediate(config, kernels)
        self.output = ResidualOutput(config.intermediate_size, config, kernels)

    def construct(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.attention(x, bias)
        return self.output(self.intermediate(x), x)


class Encoder(nn.Cell):
    """A stack of layers: (b, n, width) → (b, n, width)."""

    def __init__(self, config: XlmRobertaConfig, kernels: Kernels) -> None:
        super().__init__()
        self.layer = cells([Layer(config, kernels) for _ in range(config.num_hidden_layers)])

    def construct(self, x: Tensor, bias: Tensor) -> Tensor:
        for layer in self.layer:
            x = layer(x, bias)
        return x


class XlmRoberta(nn.Cell):
    """Embeddings and encoder, padding masked: (b, n) → (b, n, width)."""

    def __init__(self, config: XlmRobertaConfig, kernels: Kernels) -> None:
        super().__init__()
        self.embeddings = Embeddings(config, kernels)
        self.encoder = Encoder(config, kernels)

    def construct(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        b, n = input_ids.shape
        x = self.embeddings(input_ids)
        bias = ((1 - attention_mask.astype(ms.float32)) * MASKED).reshape(b, 1, 1, n)
        return self.encoder(x, bias.astype(x.dtype))


class MultilingualClip(nn.Cell):
    """Token ids to text embeddings in CLIP's space.

    Args of a call:
        input_ids: (b, n) int32.
        attention_mask: (b, n) int32, 1 for a token, 0 for padding.

    Returns:
        text_embeds: (b, output_dim).
        hidden_states: (b, n, hidden_size).
    """

    def __init__(self, config: XlmRobertaConfig, kernels: Kernels) -> None:
        super().__init__()
        self.transformer = XlmRoberta(config, kernels)
        self.LinearTransformation = Linear(config.pooled_width, config.output_dim, kernels)

    def construct(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        hidden_states = self.transformer(input_ids, attention_mask)
        weight = attention_mask.astype(hidden_states.dtype).expand_dims(2)
        mean = ops.sum(hidden_states * weight, 1) / ops.sum(weight, 1)
        return self.LinearTransformation(mean), hidden_states
