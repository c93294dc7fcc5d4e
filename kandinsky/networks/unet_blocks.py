"""The UNet's down, middle and up blocks: residual blocks, each followed by attention where the block has it.

Source: diffusers' ResnetDownsampleBlock2D, SimpleCrossAttnDownBlock2D, their up forms, UNetMidBlock2DSimpleCrossAttn.

`text` holds a key and a value for each attention layer of the UNet, in order, and `skips` all states of the down path.
Blocks know their places in them, for every slice of a tuple is a function of its own to MindSpore's compiler.
"""

from collections.abc import Sequence

from mindspore import Tensor, nn, ops

from kandinsky.networks.added_kv_attention import AddedKvAttention, AttentionShape
from kandinsky.networks.layers import cells
from kandinsky.networks.resnet import ResnetBlock, ResnetShape
from kandinsky.ops import Kernels

TextKeyValues = tuple[Tensor, ...]
"""Key and value of one attention layer after another. Flat, because compiled graphs take tensors, not nested tuples."""


class DownBlock(nn.Cell):
    """Residual blocks with optional attention, then an optional halving.

    Args of a call:
        x: (b, in_channels, h, w).
        time: (b, time_channels).
        text: keys and values.

    Returns:
        The last state, and every state on the way for the up path.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        layers: int,
        resnet: ResnetShape,
        attention: AttentionShape | None,
        kernels: Kernels,
        *,
        downsample: bool,
    ) -> None:
        super().__init__()
        inputs = [in_channels] + [out_channels] * (layers - 1)
        self.resnets = cells([ResnetBlock(channels, out_channels, resnet, kernels) for channels in inputs])
        self.attentions = cells([AddedKvAttention(attention, kernels) for _ in inputs]) if attention else None
        self.first_text = 0  # place of its first key; the UNet says which
        self.downsamplers = (
            cells([ResnetBlock(out_channels, out_channels, resnet, kernels, "down")]) if downsample else None
        )

    def construct(self, x: Tensor, time: Tensor, text: TextKeyValues) -> tuple[Tensor, tuple[Tensor, ...]]:
        place = self.first_text
        states: tuple[Tensor, ...] = ()
        for index, resnet in enumerate(self.resnets):
            x = resnet(x, time)
            if self.attentions is not None:
                x = self.attentions[index](x, text[place + 2 * index], text[place + 2 * index + 1])
            states = (*states, x)
        if self.downsamplers is not None:
            x = self.downsamplers[0](x, time)
            states = (*states, x)
        return x, states


class MidBlock(nn.Cell):
    """Residual block, attention, residual block, all at the smallest size: (b, c, h, w) → (b, c, h, w)."""

    def __init__(self, channels: int, resnet: ResnetShape, attention: AttentionShape, kernels: Kernels) -> None:
        super().__init__()
        self.resnets = cells([ResnetBlock(channels, channels, resnet, kernels) for _ in range(2)])
        self.attentions = cells([AddedKvAttention(attention, kernels)])
        self.first_text = 0  # likewise

    def construct(self, x: Tensor, time: Tensor, text: TextKeyValues) -> Tensor:
        x = self.resnets[0](x, time)
        x = self.attentions[0](x, text[self.first_text], text[self.first_text + 1])
        return self.resnets[1](x, time)


class UpBlock(nn.Cell):
    """Residual blocks over the joined state of the down path, with optional attention, then an optional doubling.

    Args of a call:
        x: (b, previous channels, h, w).
        skips: states of the down path.
        time: (b, time_channels).
        text: keys and values.

    Returns:
        (b, out_channels, h', w').
    """

    def __init__(
        self,
        inputs: Sequence[int],
        out_channels: int,
        resnet: ResnetShape,
        attention: AttentionShape | None,
        kernels: Kernels,
        *,
        upsample: bool,
    ) -> None:
        super().__init__()
        self.resnets = cells([ResnetBlock(channels, out_channels, resnet, kernels) for channels in inputs])
        self.attentions = cells([AddedKvAttention(attention, kernels) for _ in inputs]) if attention else None
        self.upsamplers = cells([ResnetBlock(out_channels, out_channels, resnet, kernels, "up")]) if upsample else None
        self.first_text = 0  # likewise
        self.first_skip = 0  # place of the first state that it joins; the others lie before it

    def construct(self, x: Tensor, time: Tensor, text: TextKeyValues, skips: tuple[Tensor, ...]) -> Tensor:
        place = self.first_text
        for index, resnet in enumerate(self.resnets):
            x = resnet(ops.cat((x, skips[self.first_skip - index]), 1), time)
            if self.attentions is not None:
                x = self.attentions[index](x, text[place + 2 * index], text[place + 2 * index + 1])
        return x if self.upsamplers is None else self.upsamplers[0](x, time)
