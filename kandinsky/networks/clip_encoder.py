"""The pre-norm transformer that both CLIP towers share (arXiv:2103.00020; transformers' CLIPEncoder)."""

from dataclasses import dataclass

from mindspore import Tensor, nn

from kandinsky.networks.layers import LayerNorm, Linear, ResidualLinear, cells
from kandinsky.ops import Kernels


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of a tower. The width is split over the heads."""

    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: str
    epsilon: float


class ClipAttention(nn.Cell):
    """Multi-head self-attention, added to a residual: twice (b, n, width) → (b, n, width)."""

    def __init__(self, shape: EncoderShape, kernels: Kernels) -> None:
        super().__init__()
        self.q_proj = Linear(shape.width, shape.width, kernels)
        self.k_proj = Linear(shape.width, shape.width, kernels)
        self.v_proj = Linear(shape.width, shape.width, kernels)
        self.out_proj = ResidualLinear(shape.width, shape.width, kernels)
        self.attend, self.settings = kernels.attention(shape.heads)

    def construct(self, x: Tensor, bias: Tensor | None, residual: Tensor) -> Tensor:
        query, key, value = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if bias is None:
            return self.out_proj(self.attend(query, key, value, self.settings), residual)
        return self.out_proj(self.attend(query, key, value, self.settings, bias), residual)


class ClipMlp(nn.Cell):
    """Two linear layers around an activation, added to a residual: twice (b, n, width) → (b, n, width)."""

    def __init__(self, shape: EncoderShape, kernels: Kernels) -> None:
        super().__init__()
        self.fc1 = Linear(shape.width, shape.mlp_width, kernels)
        self.fc2 = ResidualLinear(shape.mlp_width, shape.width, kernels)
        self.activate, self.activation = kernels.activation(shape.activation)

    def construct(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.fc2(self.activate(self.fc1(x), self.activation), residual)


class ClipLayer(nn.Cell):
    """Attention and MLP, each behind a norm and around a residual."""

    def __init__(self, shape: EncoderShape, kernels: Kernels) -> None:
        super().__init__()
        self.self_attn = ClipAttention(shape, kernels)
        self.layer_norm1 = LayerNorm(shape.width, kernels, shape.epsilon)
        self.mlp = ClipMlp(shape, kernels)
        self.layer_norm2 = LayerNorm(shape.width, kernels, shape.epsilon)

    def construct(self, x: Tensor, bias: Tensor | None) -> Tensor:
        x = self.self_attn(self.layer_norm1(x), bias, x)
        return self.mlp(self.layer_norm2(x), x)


class ClipEncoder(nn.Cell):
    """A stack of layers: (b, n, width) → (b, n, width)."""

    def __init__(self, shape: EncoderShape, kernels: Kernels) -> None:
        super().__init__()
        self.layers = cells([ClipLayer(shape, kernels) for _ in range(shape.layers)])

    def construct(self, x: Tensor, bias: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, bias)
        return x
