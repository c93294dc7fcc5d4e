"""A small network. Not in conftest.py: MindSpore looks names up by the module's name, and conftest is not unique."""

import mindspore as ms
from mindspore import nn, ops
from mindspore.common.initializer import initializer


class Linear(nn.Cell):
    """weight (out, in), bias (out)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = ms.Parameter(initializer("normal", (outputs, inputs), ms.float32))
        self.bias = ms.Parameter(initializer("zeros", (outputs,), ms.float32))

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        return ops.matmul(x, self.weight.T) + self.bias


class TwoLayers(nn.Cell):
    """Its first weight is longer than one run of the reading threads."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.CellList([Linear(1100, 1000), Linear(1000, 3)])

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x
