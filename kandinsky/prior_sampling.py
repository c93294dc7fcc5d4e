"""The prior's sampling loop for one request: texts in, image embeddings out."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from mindspore import Tensor

from kandinsky.errors import InputError
from kandinsky.noise import standard_normal
from kandinsky.prior_model import PriorModel, PriorTexts
from kandinsky.schedulers.ancestral import prior_schedule
from kandinsky.schedulers.schedule import Schedule


@dataclass(frozen=True)
class PriorJob:
    """One embedding, or one embedding and its negative, on the way.

    Attributes:
        latents: (r, dim) float32; the second row, if any, becomes the negative embedding.
        schedule: the steps to run.
        steps_done: how many of them are done.
        guidance_scale: of all rows.
        texts: (m, …), under guidance the unconditional rows first.
        generator: draws noise for all rows at once.
        truncated: the end of each text that did not fit, by "prompt" and "negative_prompt".
    """

    latents: Tensor
    schedule: Schedule
    steps_done: int
    guidance_scale: float
    texts: PriorTexts
    generator: np.random.Generator
    truncated: dict[str, str]

    @property
    def done(self) -> bool:
        """Whether all steps are run."""
        return self.steps_done == len(self.schedule)


def check_guidance_scale(field: str, guidance_scale: float) -> None:
    """Refuse a guidance scale that is negative or not a number.

    Raises:
        InputError: it is.
    """
    if not (math.isfinite(guidance_scale) and guidance_scale >= 0):
        raise InputError(field, f"{guidance_scale} is not a finite number of 0 or more")


def start_prior(
    model: PriorModel,
    prompt: str,
    negative_prompt: str | None,
    steps: int,
    guidance_scale: float,
    generator: np.random.Generator,
) -> PriorJob:
    """Encode the texts and draw the first noise.

    Args:
        model: the prior.
        prompt: what the picture shall show.
        negative_prompt: what it shall not show; given, even as "", it becomes a second row.
        steps: prior steps, 2 or more.
        guidance_scale: 0 or more; at 1 and below the unconditional half is not run.
        generator: the embedding's; the steps go on drawing from it.

    Raises:
        InputError: steps or guidance scale is out of range.
    """
    check_guidance_scale("prior_guidance_scale", guidance_scale)
    schedule = prior_schedule(model.scheduler, steps)
    conditional = [prompt] if negative_prompt is None else [prompt, negative_prompt]
    unconditional = (
        ["" if negative_prompt is None else negative_prompt] * len(conditional) if guidance_scale > 1.0 else []
    )
    texts = [*unconditional, *conditional]
    distinct = list(dict.fromkeys(texts))
    encoded = model.encode_texts(distinct)
    cut = dict(zip(distinct, encoded.truncated, strict=True))
    fields = {"prompt": prompt} if negative_prompt is None else {"prompt": prompt, "negative_prompt": negative_prompt}
    truncated = {field: cut[text] for field, text in fields.items() if cut[text]}
    encoded = encoded.take([distinct.index(text) for text in texts])
    latents = standard_normal(generator, (len(conditional), model.prior.config.embedding_dim))
    return PriorJob(Tensor(latents), schedule, 0, guidance_scale, encoded, generator, truncated)


def step_prior(model: PriorModel, job: PriorJob) -> PriorJob:
    """Run the next step of a job that is not done."""
    rows, step = job.latents.shape[0], job.steps_done
    draw = np.zeros(job.latents.shape, np.float32)
    if job.schedule.draws[step]:
        draw = standard_normal(job.generator, tuple(job.latents.shape))
    latents = model.step(
        job.latents,
        Tensor(np.full(rows, job.schedule.timesteps[step], np.float32)),
        Tensor(np.full(rows, job.guidance_scale, np.float32)),
        Tensor(np.repeat(job.schedule.coefficients[step][None], rows, 0)),
        Tensor(draw),
        job.texts.embeds,
        job.texts.hidden_states,
        job.texts.mask,
    )
    return replace(job, latents=latents, steps_done=step + 1)


def finish_prior(model: PriorModel, job: PriorJob) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The embedding and the negative embedding of a job that is done, each (1, dim).

    Raises:
        NonFiniteError: the prior produced NaN or infinity.
    """
    embeds = model.denormalise(job.latents)
    has_negative = len(embeds) > 1
    return embeds[:1], embeds[1:] if has_negative else model.zero_embedding()
