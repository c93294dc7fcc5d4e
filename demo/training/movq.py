"""MoVQ: reconstruction and commitment losses, then latents brought to mean zero and unit deviation."""

from __future__ import annotations

import torch
from diffusers import VQModel
from diffusers.models.attention_processor import SpatialNorm
from torch import nn
from torch.nn import functional

from demo.training.data import to_unit
from demo.training.loop import Run, Stage, train

_COMMITMENT = 0.25
_LATENT_NOISE = 0.08  # of a latent's deviation: what the denoiser leaves over must not show
_REVIVE_EVERY = 250


def train_movq(movq: VQModel, pictures: list[torch.Tensor], stage: Stage, run: Run) -> None:
    """Trains MoVQ in place.

    Half of each batch goes through the codebook, as in the paper; the other half skips it and carries a little
    noise, because the pipelines decode the denoiser's latents without quantising them.

    Args:
        movq: The autoencoder.
        pictures: uint8 (n, h, w, 3) each; one of them is drawn from at each step.
        stage: Steps and batch.
        run: Work folder and device.
    """
    movq.to(run.device)

    def loss(step: int) -> torch.Tensor:
        generator = run.generator(stage.name, step)
        pool = pictures[step % len(pictures)]
        rows = torch.randint(len(pool), (stage.batch,), generator=generator, device=run.device)
        wanted = to_unit(pool[rows])
        latents = movq.encode(wanted).latents
        if step < stage.steps // 2 and step % _REVIVE_EVERY == 0:
            _revive(movq, latents.detach(), generator)
        half = stage.batch // 2
        quantized, commitment, _ = movq.quantize(latents[:half])
        noise = torch.randn(latents[half:].shape, generator=generator, device=run.device)
        noisy = latents[half:] + _LATENT_NOISE * latents.detach().std() * noise
        used = torch.cat([quantized, noisy])
        got = movq.decoder(movq.post_quant_conv(used), used)
        return _reconstruction(got, wanted) + _COMMITMENT * commitment + 1e-3 * latents.square().mean()

    train(stage, movq, loss, run)
    _normalise(movq, torch.cat([to_unit(pool[:256]) for pool in pictures]))


def _reconstruction(got: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Values and edges."""
    error = got - wanted
    edges = (error[..., 1:, :] - error[..., :-1, :]).abs().mean() + (error[..., 1:] - error[..., :-1]).abs().mean()
    return error.abs().mean() + error.square().mean() + edges


@torch.no_grad()
def _revive(movq: VQModel, latents: torch.Tensor, generator: torch.Generator) -> None:
    """Codes that nothing is near to are put onto latents of the batch."""
    flat = latents.permute(0, 2, 3, 1).flatten(0, 2).float()
    codes = movq.quantize.embedding.weight
    used = torch.zeros(len(codes), dtype=torch.bool, device=codes.device)
    used[torch.cdist(flat, codes).argmin(1)] = True
    rows = torch.randint(len(flat), (len(codes),), generator=generator, device=codes.device)
    codes.copy_(torch.where(used[:, None], codes, flat[rows]))


@torch.no_grad()
def _normalise(movq: VQModel, pictures: torch.Tensor) -> None:
    """Rescales the latents without changing the pictures: the scale goes into the layers on either side."""
    latents = torch.cat([movq.encode(part).latents for part in pictures.split(64)])
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    movq.quant_conv.weight.div_(std[:, None, None, None])
    movq.quant_conv.bias.sub_(mean).div_(std)
    movq.quantize.embedding.weight.sub_(mean).div_(std)
    for reader in _latent_readers(movq):
        bias = reader.bias + reader.weight[:, :, 0, 0] @ mean
        reader.bias.copy_(bias)
        reader.weight.mul_(std[None, :, None, None])


def _latent_readers(movq: VQModel) -> list[nn.Conv2d]:
    """The 1×1 convolutions that latents go into."""
    norms = [module for module in movq.decoder.modules() if isinstance(module, SpatialNorm)]
    return [movq.post_quant_conv, *(conv for norm in norms for conv in (norm.conv_y, norm.conv_b))]


@torch.no_grad()
def reconstruction_psnr(movq: VQModel, pictures: torch.Tensor) -> float:
    """Mean PSNR in dB of uint8 pictures through the latents, not quantised."""
    wanted = to_unit(pictures)
    got = movq.decode(movq.encode(wanted).latents, force_not_quantize=True).sample.clamp(-1, 1)
    error = functional.mse_loss(got, wanted, reduction="none").mean((1, 2, 3)) / 4.0
    return float(-10.0 * error.log10().mean())
