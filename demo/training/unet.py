"""The UNet: epsilon and learned variance, on pictures and on sketches noised the way image-to-image noises them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.pipelines.kandinsky.text_encoder import MultilingualCLIP

from demo.training.data import Conditioned
from demo.training.loop import Run, Stage, train
from demo.training.presets import Sketches

_DROPPED = (0.1, 0.1, 0.1)  # nothing is told; the text is withheld; the image embedding is withheld
_EMBEDS_OF_PICTURES = (0.5, 0.2, 0.3)  # which image embedding: its own, another layout's, the prior's
_EMBEDS_OF_SKETCHES = (0.2, 0.3, 0.5)
_VARIATIONAL_WEIGHT = 0.001


def scheduler() -> DDIMScheduler:
    """As in kandinsky-2-1."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=0,
        prediction_type="epsilon",
    )


@dataclass(frozen=True)
class Noised:
    """What the UNet sees and should answer. sample, clean, epsilon: (b, 4, h, w); timestep: (b,)."""

    sample: torch.Tensor
    clean: torch.Tensor
    epsilon: torch.Tensor
    timestep: torch.Tensor


class Noising:
    """The two ways to noise, with their tables on one device."""

    def __init__(self, sketches: Sketches, device: torch.device) -> None:
        self.sketches = sketches
        self.betas = scheduler().betas.to(device)
        self.alphas = torch.cumprod(1.0 - self.betas, 0)
        self.pipeline_alphas = torch.cumprod(1.0 - torch.linspace(0.0001, 0.02, 1000, device=device), 0)
        self.schedules = torch.tensor(sketches.schedules, device=device)

    def picture(self, clean: torch.Tensor, generator: torch.Generator) -> Noised:
        """Plain diffusion: any timestep."""
        timestep = torch.randint(1000, (len(clean),), generator=generator, device=clean.device)
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        return Noised(self._at(clean, noise, timestep), clean, noise, timestep)

    def sketch(self, clean: torch.Tensor, source: torch.Tensor, generator: torch.Generator) -> Noised:
        """Image-to-image as served: the source noised by the pipeline's own betas, then DDIM's timesteps.

        DDIM moves along x_t = √ᾱ_t·x_0 + √(1−ᾱ_t)·ε with one ε. The ε that leads from the noised sketch to the
        coloured picture is what the UNet learns; the first timestep and the later ones lie on the same line.
        """
        count, device = len(clean), clean.device

        def uniform() -> torch.Tensor:
            return torch.rand(count, generator=generator, device=device)

        steps = self.schedules[torch.randint(len(self.schedules), (count,), generator=generator, device=device)]
        least, most = self.sketches.strengths
        strength = least + (most - least) * uniform()
        run = (steps * strength).long()
        index = torch.where(uniform() < self.sketches.first_step_share, run - 1, (uniform() * run).long())
        first, timestep = ((position * (1000 // steps)) for position in (run - 1, index))
        noise = torch.randn(clean.shape, generator=generator, device=device)
        added = _spread(self.pipeline_alphas[(1000 * strength).long() - 2])
        start = added.sqrt() * source + (1 - added).sqrt() * noise
        alpha = _spread(self.alphas[first])
        epsilon = (start - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        return Noised(self._at(clean, epsilon, timestep), clean, epsilon, timestep)

    def _at(self, clean: torch.Tensor, epsilon: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        alpha = _spread(self.alphas[timestep])
        return alpha.sqrt() * clean + (1 - alpha).sqrt() * epsilon

    def simple_loss(self, epsilon: torch.Tensor, noised: Noised) -> torch.Tensor:
        """Squared error, the early steps weighted up (1/√ᾱ): they decide the colours."""
        weight = self.alphas[noised.timestep].rsqrt()
        error = (epsilon - noised.epsilon).square().mean((1, 2, 3))
        return (weight * error).mean() / weight.mean()

    def variational_loss(self, epsilon: torch.Tensor, variance: torch.Tensor, noised: Noised) -> torch.Tensor:
        """Improved DDPM's bound for the learned variance; no gradient reaches epsilon. In bits a dimension."""
        t = noised.timestep
        alpha, before = _spread(self.alphas[t]), _spread(self.alphas[(t - 1).clamp(min=0)])
        beta = _spread(self.betas[t])
        posterior = (beta * (1 - before) / (1 - alpha)).log()
        x_0 = (noised.sample - (1 - alpha).sqrt() * epsilon.detach()) / alpha.sqrt()
        mean_error = beta * before.sqrt() / (1 - alpha) * (x_0 - noised.clean)
        share = (variance + 1) / 2
        log_variance = share * beta.log() + (1 - share) * posterior
        kl = (
            log_variance
            - posterior
            - 1
            + (posterior - log_variance).exp()
            + mean_error.square() * (-log_variance).exp()
        )
        return 0.5 * kl.mean() / float(np.log(2.0))


@dataclass(frozen=True)
class Nothing:
    """What stands in for a condition that is withheld: the empty prompt and the zero picture."""

    ids: torch.Tensor
    mask: torch.Tensor
    embed: torch.Tensor


def train_unet(
    unet: UNet2DConditionModel,
    text: MultilingualCLIP,
    pools: list[Conditioned],
    shares: list[float],
    nothing: Nothing,
    sketches: Sketches,
    stage: Stage,
    run: Run,
) -> None:
    """Trains the UNet in place.

    Args:
        unet: The denoiser.
        text: The frozen multilingual text encoder.
        pools: One for each latent shape.
        shares: How often each pool is drawn from.
        nothing: Stands in for withheld conditions, as in the pipelines' unconditional half.
        sketches: How many of a batch start from a sketch, and at which strengths.
        stage: Steps and batch (of the first pool's shape; larger shapes get fewer rows).
        run: Work folder and device.
    """
    unet.to(run.device, memory_format=torch.channels_last)
    noising = Noising(sketches, run.device)
    area = pools[0].target[0, 0].numel()

    def loss(step: int) -> torch.Tensor:
        generator = run.generator(stage.name, step)
        pool = pools[np.random.default_rng([run.seed, step]).choice(len(pools), p=shares)]
        batch = max(2, stage.batch * area // pool.target[0, 0].numel())
        rows = torch.randint(len(pool.target), (batch,), generator=generator, device=run.device)
        from_sketch = int(batch * sketches.share)
        clean = pool.target[rows].float()
        parts = (
            noising.sketch(clean[:from_sketch], pool.source[rows[:from_sketch]].float(), generator),
            noising.picture(clean[from_sketch:], generator),
        )
        noised = Noised(*(torch.cat([getattr(part, name) for part in parts]) for name in Noised.__annotations__))
        ids, mask, embeds = _conditions(pool, rows, from_sketch, nothing, generator)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.device.type == "cuda"):
            with torch.no_grad():
                text_embeds, hidden = text(ids, mask)
            output = unet(
                noised.sample.contiguous(memory_format=torch.channels_last),
                noised.timestep,
                encoder_hidden_states=hidden,
                added_cond_kwargs={"text_embeds": text_embeds, "image_embeds": embeds},
            ).sample.float()
        epsilon, variance = output.chunk(2, 1)
        bound = noising.variational_loss(epsilon[from_sketch:], variance[from_sketch:], parts[1])
        return noising.simple_loss(epsilon, noised) + _VARIATIONAL_WEIGHT * bound

    train(stage, unet, loss, run)


def _conditions(
    pool: Conditioned, rows: torch.Tensor, sketches: int, nothing: Nothing, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, mask and image embedding for each row, some withheld."""
    device, count = rows.device, len(rows)
    which = torch.randint(pool.tokens.ids.shape[1], (count,), generator=generator, device=device)
    ids, mask = pool.tokens.pick(rows, which)
    weights = torch.tensor([_EMBEDS_OF_SKETCHES, _EMBEDS_OF_PICTURES], device=device)
    weights = weights.repeat_interleave(torch.tensor([sketches, count - sketches], device=device), dim=0)
    embeds = pool.embeds[rows, torch.multinomial(weights, 1, generator=generator)[:, 0]]
    withheld = torch.rand(count, 1, generator=generator, device=device)
    both, text, _ = np.cumsum(_DROPPED)
    no_text = withheld < text
    no_embed = (withheld < both) | ((withheld >= text) & (withheld < sum(_DROPPED)))
    ids, mask = torch.where(no_text, nothing.ids, ids), torch.where(no_text, nothing.mask, mask)
    return ids, mask, torch.where(no_embed, nothing.embed, embeds)


def _spread(values: torch.Tensor) -> torch.Tensor:
    """(b,) → (b, 1, 1, 1)."""
    return values[:, None, None, None]
