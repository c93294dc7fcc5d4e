"""The prior: diffusion on normalised image embeddings, predicting the clean embedding (unCLIP)."""

from __future__ import annotations

import torch
from diffusers import PriorTransformer, UnCLIPScheduler
from torch.nn import functional
from transformers import CLIPTextModelWithProjection

from demo.training.data import Tokens
from demo.training.loop import Run, Stage, train

_TEXT_DROPPED = 0.1


def scheduler() -> UnCLIPScheduler:
    """As in kandinsky-2-1-prior."""
    return UnCLIPScheduler(
        variance_type="fixed_small_log", clip_sample=True, clip_sample_range=5.0, prediction_type="sample"
    )


def train_prior(
    prior: PriorTransformer,
    text: CLIPTextModelWithProjection,
    embeds: torch.Tensor,
    tokens: Tokens,
    nothing: tuple[torch.Tensor, torch.Tensor],
    stage: Stage,
    run: Run,
) -> None:
    """Trains the prior in place.

    Args:
        prior: Its clip_mean and clip_std are set to those of the embeddings.
        text: The frozen text tower.
        embeds: (n, kinds, dim) image embeddings that fit the captions.
        tokens: CLIP tokens of the captions.
        nothing: Ids and mask (1, 77) of the empty prompt, which stands in where the text is dropped.
        stage: Steps and batch.
        run: Work folder and device.
    """
    prior.to(run.device)
    mean, std = embeds.flatten(0, 1).mean(0, keepdim=True), embeds.flatten(0, 1).std(0, keepdim=True)
    prior.clip_mean.requires_grad_(False).copy_(mean)
    prior.clip_std.requires_grad_(False).copy_(std)
    alphas = scheduler().alphas_cumprod.to(run.device)
    count, captions = tokens.ids.shape[:2]

    def loss(step: int) -> torch.Tensor:
        generator = run.generator(stage.name, step)

        def below(bound: int) -> torch.Tensor:
            return torch.randint(bound, (stage.batch,), generator=generator, device=run.device)

        rows = below(count)
        ids, mask = tokens.pick(rows, below(captions))
        dropped = torch.rand(stage.batch, 1, generator=generator, device=run.device) < _TEXT_DROPPED
        ids, mask = torch.where(dropped, nothing[0], ids), torch.where(dropped, nothing[1], mask)
        clean = (embeds[rows, below(embeds.shape[1])] - mean) / std
        timestep = below(len(alphas))
        alpha = alphas[timestep][:, None]
        noise = torch.randn(clean.shape, generator=generator, device=run.device)
        noised = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.device.type == "cuda"):
            with torch.no_grad():
                said = text(ids)
            predicted = prior(
                noised, timestep, said.text_embeds, said.last_hidden_state, mask.bool()
            ).predicted_image_embedding
        return functional.mse_loss(predicted.float(), clean)

    train(stage, prior, loss, run)


@torch.no_grad()
def sampled_embeds(
    prior: PriorTransformer,
    text: CLIPTextModelWithProjection,
    ids: torch.Tensor,
    mask: torch.Tensor,
    nothing: tuple[torch.Tensor, torch.Tensor],
    guidance_scale: float,
    steps: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """(b, dim) image embeddings as the pipeline would sample them for these tokens (b, 77)."""
    noise_of = scheduler()
    noise_of.set_timesteps(steps, device=ids.device)
    ids = torch.cat([nothing[0].expand_as(ids), ids])
    mask = torch.cat([nothing[1].expand_as(mask), mask])
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=ids.device.type == "cuda"):
        said = text(ids)
    count, dim = len(ids) // 2, prior.config.embedding_dim
    latents = torch.randn(count, dim, generator=generator, device=ids.device)
    for index, timestep in enumerate(noise_of.timesteps):
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=ids.device.type == "cuda"):
            both = prior(
                torch.cat([latents, latents]), timestep, said.text_embeds, said.last_hidden_state, mask.bool()
            ).predicted_image_embedding.float()
        without, with_text = both.chunk(2)
        guided = without + guidance_scale * (with_text - without)
        following = noise_of.timesteps[index + 1] if index + 1 < steps else None
        latents = noise_of.step(guided, timestep, latents, prev_timestep=following, generator=generator).prev_sample
    return prior.post_process_latents(latents)
