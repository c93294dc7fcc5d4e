"""What is compiled: a sampling step of each network with guidance and scheduler arithmetic, and what surrounds it.

A batch has r rows. Rows under guidance come first, g of them. The networks see g + r evaluations: the unconditional
halves of the first g rows, then all rows under their condition. So rows with and without guidance share a batch, and
nothing is evaluated for nobody.

All of them give tuples, also of one tensor: see `kandinsky.graph`.
"""

import mindspore as ms
from mindspore import Tensor, nn, ops

from kandinsky.networks.clip_vision import ClipVisionEncoder
from kandinsky.networks.movq import Movq
from kandinsky.networks.prior_transformer import PriorTransformer
from kandinsky.networks.unet import UNet
from kandinsky.schedulers.step import advance


class PriorStep(nn.Cell):
    """One step of the prior.

    Args of a call:
        timesteps: (r,) float32.
        guidance_scales: (r,) float32; those of rows without guidance are not used.
        coefficients: (r, 9) float32, a row of each row's schedule.
        draw: (r, dim) float32, standard normal.
        text_embeds: (g + r, dim).
        text_hidden_states: (g + r, n, dim).
        text_mask: (g + r, n).
        latents: of each job its rows, (1 or 2, dim) float32, the noisy image embeddings.

    Returns:
        The latents of the next step, of each job its rows.
    """

    def __init__(self, prior: PriorTransformer, dtype: ms.Type) -> None:
        super().__init__()
        self.prior = prior
        self.dtype = dtype

    def construct(
        self,
        timesteps: Tensor,
        guidance_scales: Tensor,
        coefficients: Tensor,
        draw: Tensor,
        text_embeds: Tensor,
        text_hidden_states: Tensor,
        text_mask: Tensor,
        *latents: Tensor,
    ) -> tuple[Tensor, ...]:
        together = _cat(latents)
        guided = text_embeds.shape[0] - together.shape[0]
        noisy = _evaluations(together, guided).astype(self.dtype)
        predicted = self.prior(noisy, _evaluations(timesteps, guided), text_embeds, text_hidden_states, text_mask)
        predicted = _guide(predicted.astype(ms.float32), guidance_scales, guided)
        following, _ = advance(coefficients, together, predicted, ops.zeros_like(together), together, draw)
        return _apart(following, latents)


class DecoderStep(nn.Cell):
    """One step of the UNet.

    Args of a call:
        timesteps: (r,) float32.
        guidance_scales: (r,) float32; those of rows without guidance are not used.
        coefficients: (r, 9) float32, a row of each row's schedule.
        draw: (r, c, h, w) float32, standard normal.
        added: (g + r, time_channels), from `UNet.condition`.
        rest: the latents of each row, (1, c, h, w) float32; then each row's previous x0, (1, c, h, w) float32, that is
            its second result of the step before, or anything at the first; then keys and values, each (g + r, tokens,
            channels), from `UNet.condition`.

    Returns:
        The latents of the next step of each row, then the predicted clean latents of each row, all (1, c, h, w)
        float32.
    """

    def __init__(self, unet: UNet, dtype: ms.Type) -> None:
        super().__init__()
        self.unet = unet
        self.dtype = dtype

    def construct(
        self,
        timesteps: Tensor,
        guidance_scales: Tensor,
        coefficients: Tensor,
        draw: Tensor,
        added: Tensor,
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:
        rows = timesteps.shape[0]
        guided = added.shape[0] - rows
        latents, previous_x0, text = _cat(rest[:rows]), _cat(rest[rows : 2 * rows]), rest[2 * rows :]
        channels = latents.shape[1]
        sample = _evaluations(latents, guided).astype(self.dtype)
        predicted = self.unet(sample, _evaluations(timesteps, guided), added, text).astype(ms.float32)
        noise = _guide(predicted[:, :channels], guidance_scales, guided)
        # The variance is the conditional half's; a UNet without one predicts as many channels as it takes.
        variance = ops.zeros_like(noise)
        if predicted.shape[1] > channels:
            variance = predicted[guided:, channels:]
        following, x0 = advance(coefficients, latents, noise, variance, previous_x0, draw)
        return _apart(following, rest[:rows]) + _apart(x0, rest[:rows])


class Joiner(nn.Cell):
    """What steers several evaluations, as a step takes it.

    Compiled, because joining every layer's keys and values one operator at a time takes as long as a step of a small
    network.

    Args of a call:
        evaluations: how many there are.
        parts: the first tensor of each evaluation, then the second of each, and so on; each (1, …).

    Returns:
        Each tensor of all evaluations, (evaluations, …).
    """

    def construct(self, evaluations: int, *parts: Tensor) -> tuple[Tensor, ...]:
        joined: tuple[Tensor, ...] = ()
        for first in range(0, len(parts), evaluations):
            joined = (*joined, ops.cat(parts[first : first + evaluations], 0))
        return joined


class Conditioner(nn.Cell):
    """`UNet.condition` as a cell, with one flat result: `added`, then keys and values."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def construct(self, text_hidden_states: Tensor, text_embeds: Tensor, image_embeds: Tensor) -> tuple[Tensor, ...]:
        added, text = self.unet.condition(text_hidden_states, text_embeds, image_embeds)
        return (added, *text)


class PictureEncoder(nn.Cell):
    """`Movq.encode` as a cell."""

    def __init__(self, movq: Movq) -> None:
        super().__init__()
        self.movq = movq

    def construct(self, image: Tensor) -> tuple[Tensor]:
        return (self.movq.encode(image),)


class PictureDecoder(nn.Cell):
    """`Movq.decode` as a cell."""

    def __init__(self, movq: Movq) -> None:
        super().__init__()
        self.movq = movq

    def construct(self, latents: Tensor) -> tuple[Tensor]:
        return (self.movq.decode(latents),)


class PictureEmbedder(nn.Cell):
    """CLIP's vision tower as a cell."""

    def __init__(self, tower: ClipVisionEncoder) -> None:
        super().__init__()
        self.tower = tower

    def construct(self, image: Tensor) -> tuple[Tensor]:
        return (self.tower(image),)


def _cat(tensors: tuple[Tensor, ...]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else ops.cat(tensors, 0)


def _apart(together: Tensor, like: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The inverse of `_cat`: pieces of as many rows as these have."""
    if len(like) == 1:
        return (together,)
    pieces: tuple[Tensor, ...] = ()
    start = 0
    for tensor in like:
        end = start + tensor.shape[0]
        pieces = (*pieces, together[start:end])
        start = end
    return pieces


def _evaluations(rows: Tensor, guided: int) -> Tensor:
    """(r, …) → (g + r, …): the guided rows once more in front."""
    if guided == 0:
        return rows
    return ops.cat((_first(rows, guided), rows), 0)


def _guide(predicted: Tensor, scales: Tensor, guided: int) -> Tensor:
    """Classifier-free guidance (arXiv:2207.12598): (g + r, …) → (r, …)."""
    if guided == 0:
        return predicted
    without, conditional = predicted[:guided], predicted[guided:]
    scale = _first(scales, guided).reshape((guided,) + (1,) * (predicted.ndim - 1))
    first = without + scale * (conditional[:guided] - without)
    return first if guided == conditional.shape[0] else ops.cat((first, conditional[guided:]), 0)


def _first(rows: Tensor, count: int) -> Tensor:
    return rows if count == rows.shape[0] else rows[:count]
