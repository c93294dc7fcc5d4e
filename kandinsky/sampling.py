"""What is compiled: a sampling step of each network with guidance and scheduler arithmetic, and what surrounds it.

A batch has r rows. Rows under guidance come first, g of them. The networks see g + r evaluations: the unconditional
halves of the first g rows, then all rows under their condition. So rows with and without guidance share a batch, and
nothing is evaluated for nobody.
"""

import mindspore as ms
from mindspore import Tensor, nn, ops

from kandinsky.networks.movq import Movq
from kandinsky.networks.prior_transformer import PriorTransformer
from kandinsky.networks.unet import UNet
from kandinsky.networks.unet_blocks import TextKeyValues
from kandinsky.schedulers.step import advance


class PriorStep(nn.Cell):
    """One step of the prior.

    Args of a call:
        latents: (r, dim) float32, the noisy image embeddings.
        timesteps: (r,) float32.
        guidance_scales: (r,) float32; those of rows without guidance are not used.
        coefficients: (r, 9) float32, a row of each row's schedule.
        draw: (r, dim) float32, standard normal.
        text_embeds: (g + r, dim).
        text_hidden_states: (g + r, n, dim).
        text_mask: (g + r, n).

    Returns:
        (r, dim) float32, the latents of the next step.
    """

    def __init__(self, prior: PriorTransformer, dtype: ms.Type) -> None:
        super().__init__()
        self.prior = prior
        self.dtype = dtype

    def construct(
        self,
        latents: Tensor,
        timesteps: Tensor,
        guidance_scales: Tensor,
        coefficients: Tensor,
        draw: Tensor,
        text_embeds: Tensor,
        text_hidden_states: Tensor,
        text_mask: Tensor,
    ) -> Tensor:
        guided = text_embeds.shape[0] - latents.shape[0]
        noisy = _evaluations(latents, guided).astype(self.dtype)
        predicted = self.prior(noisy, _evaluations(timesteps, guided), text_embeds, text_hidden_states, text_mask)
        predicted = _guide(predicted.astype(ms.float32), guidance_scales, guided)
        following, _ = advance(coefficients, latents, predicted, ops.zeros_like(latents), latents, draw)
        return following


class DecoderStep(nn.Cell):
    """One step of the UNet.

    Args of a call:
        latents: (r, c, h, w) float32.
        previous_x0: (r, c, h, w) float32, the second result of the step before; anything at the first.
        timesteps: (r,) float32.
        guidance_scales: (r,) float32; those of rows without guidance are not used.
        coefficients: (r, 9) float32, a row of each row's schedule.
        draw: (r, c, h, w) float32, standard normal.
        added: (g + r, time_channels), from `UNet.condition`.
        text: keys and values, each (g + r, tokens, channels), from `UNet.condition`.

    Returns:
        The latents of the next step and the predicted clean latents, both (r, c, h, w) float32.
    """

    def __init__(self, unet: UNet, dtype: ms.Type) -> None:
        super().__init__()
        self.unet = unet
        self.dtype = dtype

    def construct(
        self,
        latents: Tensor,
        previous_x0: Tensor,
        timesteps: Tensor,
        guidance_scales: Tensor,
        coefficients: Tensor,
        draw: Tensor,
        added: Tensor,
        *text: Tensor,
    ) -> tuple[Tensor, Tensor]:
        guided, channels = added.shape[0] - latents.shape[0], latents.shape[1]
        sample = _evaluations(latents, guided).astype(self.dtype)
        predicted = self.unet(sample, _evaluations(timesteps, guided), added, text).astype(ms.float32)
        noise = _guide(predicted[:, :channels], guidance_scales, guided)
        # The variance is the conditional half's; a UNet without one predicts as many channels as it takes.
        variance = ops.zeros_like(noise)
        if predicted.shape[1] > channels:
            variance = predicted[guided:, channels:]
        return advance(coefficients, latents, noise, variance, previous_x0, draw)


class Conditioner(nn.Cell):
    """`UNet.condition` as a cell."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def construct(
        self, text_hidden_states: Tensor, text_embeds: Tensor, image_embeds: Tensor
    ) -> tuple[Tensor, TextKeyValues]:
        return self.unet.condition(text_hidden_states, text_embeds, image_embeds)


class PictureEncoder(nn.Cell):
    """`Movq.encode` as a cell."""

    def __init__(self, movq: Movq) -> None:
        super().__init__()
        self.movq = movq

    def construct(self, image: Tensor) -> Tensor:
        return self.movq.encode(image)


class PictureDecoder(nn.Cell):
    """`Movq.decode` as a cell."""

    def __init__(self, movq: Movq) -> None:
        super().__init__()
        self.movq = movq

    def construct(self, latents: Tensor) -> Tensor:
        return self.movq.decode(latents)


def _evaluations(rows: Tensor, guided: int) -> Tensor:
    """(r, …) → (g + r, …): the guided rows once more in front."""
    return rows if guided == 0 else ops.cat((rows[:guided], rows), 0)


def _guide(predicted: Tensor, scales: Tensor, guided: int) -> Tensor:
    """Classifier-free guidance (arXiv:2207.12598): (g + r, …) → (r, …)."""
    if guided == 0:
        return predicted
    without, conditional = predicted[:guided], predicted[guided:]
    scale = scales[:guided].reshape((guided,) + (1,) * (predicted.ndim - 1))
    first = without + scale * (conditional[:guided] - without)
    return first if guided == conditional.shape[0] else ops.cat((first, conditional[guided:]), 0)
