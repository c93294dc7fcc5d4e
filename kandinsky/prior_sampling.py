"""The prior's sampling, step by step: encoded texts in, image embeddings out. Jobs of several requests share steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from mindspore import Tensor

from kandinsky.company import Company, joined, keep_company, padded
from kandinsky.errors import InputError
from kandinsky.noise import standard_normal
from kandinsky.prior_model import PriorModel, PriorTexts
from kandinsky.schedulers.ancestral import prior_schedule
from kandinsky.schedulers.schedule import Schedule

# Far above any use; from some thousands of times this on, the networks overflow.
MAX_GUIDANCE_SCALE = 1000


@dataclass(frozen=True)
class PriorConditioning:
    """What a job is steered by.

    Attributes:
        texts: each by itself, under guidance those of the unconditional rows first: 2 · rows, else rows.
        rows: embeddings to make: 1, or 2 with a negative prompt, whose embedding is the second.
        guidance_scale: how far to go from the unconditional to the conditional prediction.
    """

    texts: tuple[PriorTexts, ...]
    rows: int
    guidance_scale: float

    @property
    def guided(self) -> bool:
        """Whether the unconditional half is run."""
        return self.guidance_scale > 1.0

    @property
    def truncated(self) -> dict[str, str]:
        """The end of each text that the text encoder did not see, by "prompt" and "negative_prompt"."""
        fields = ("prompt", "negative_prompt")[: self.rows]
        cuts = [text.truncated[0] for text in self.texts[-self.rows :]]
        return {field: cut for field, cut in zip(fields, cuts, strict=True) if cut}


@dataclass(frozen=True)
class PriorJob:
    """One embedding, or one embedding and its negative, on the way.

    Attributes:
        latents: (rows, dim) float32; the second row, if any, becomes the negative embedding.
        schedule: the steps to run.
        steps_done: how many of them are done.
        conditioning: what it is steered by.
        draws: (steps, rows, dim) float32, noise for each step; zeros where the schedule draws none.
        company: the texts of all jobs of its last step; None before the first.
    """

    latents: Tensor
    schedule: Schedule
    steps_done: int
    conditioning: PriorConditioning
    draws: npt.NDArray[np.float32]
    company: Company[PriorConditioning] | None = None

    @property
    def done(self) -> bool:
        """Whether all steps are run."""
        return self.steps_done == len(self.schedule)


def check_guidance_scale(field: str, guidance_scale: float) -> None:
    """Refuse a guidance scale that is negative, not a number, or so large that nothing finite can come of it.

    Raises:
        InputError: it is.
    """
    if not (math.isfinite(guidance_scale) and guidance_scale >= 0):
        raise InputError(field, f"{guidance_scale} is not a finite number of 0 or more")
    if guidance_scale > MAX_GUIDANCE_SCALE:
        raise InputError(field, f"{guidance_scale} is above {MAX_GUIDANCE_SCALE}")


def texts_of(prompt: str, negative_prompt: str | None, guidance_scale: float) -> list[str]:
    """The texts of `PriorConditioning.texts`, in their order.

    Args:
        prompt: what the picture shall show.
        negative_prompt: what it shall not show; given, even as "", it becomes a second row.
        guidance_scale: at 1 and below the unconditional half is not run.
    """
    conditional = [prompt] if negative_prompt is None else [prompt, negative_prompt]
    unconditional = ["" if negative_prompt is None else negative_prompt] * len(conditional)
    return [*unconditional, *conditional] if guidance_scale > 1.0 else conditional


def condition_prior(
    model: PriorModel, prompt: str, negative_prompt: str | None, guidance_scale: float
) -> PriorConditioning:
    """Encode the texts of a job; arguments as for `texts_of`.

    Raises:
        InputError: the guidance scale is out of range.
    """
    check_guidance_scale("prior_guidance_scale", guidance_scale)
    texts = texts_of(prompt, negative_prompt, guidance_scale)
    encoded = {text: model.encode_texts([text]) for text in dict.fromkeys(texts)}
    rows = 1 if negative_prompt is None else 2
    return PriorConditioning(tuple(encoded[text] for text in texts), rows, guidance_scale)


def start_prior(
    model: PriorModel, conditioning: PriorConditioning, steps: int, generator: np.random.Generator
) -> PriorJob:
    """A job before its first step. All its noise is drawn here, in the order of the steps.

    Args:
        model: the prior.
        conditioning: what it is steered by.
        steps: prior steps, 2 or more.
        generator: the embedding's.

    Raises:
        InputError: steps are out of range.
    """
    schedule = prior_schedule(model.scheduler, steps)
    shape = (conditioning.rows, model.prior.config.embedding_dim)
    latents = standard_normal(generator, shape)
    draws = np.zeros((steps, *shape), np.float32)
    for step in np.flatnonzero(schedule.draws):
        draws[step] = standard_normal(generator, shape)
    return PriorJob(Tensor(latents), schedule, 0, conditioning, draws)


def step_priors(model: PriorModel, jobs: Sequence[PriorJob], size: int | None = None) -> list[PriorJob]:
    """Run the next step of jobs that are not done, in one batch.

    Args:
        model: the prior.
        jobs: any that are not done.
        size: jobs to fill the batch up to, so that it has a shape that is compiled; None for no more than there are.

    Returns:
        The jobs after the step, in the order given.
    """
    order = sorted(range(len(jobs)), key=lambda index: not jobs[index].conditioning.guided)
    batch = padded([jobs[index] for index in order], size)
    conditioning = [job.conditioning for job in batch]
    company = keep_company(batch[0].company, conditioning, lambda items: _join(model, items))
    rows = [each.rows for each in conditioning]
    latents = model.step(
        _for_rows([job.schedule.timesteps[job.steps_done] for job in batch], rows),
        _for_rows([each.guidance_scale for each in conditioning], rows),
        _for_rows([job.schedule.coefficients[job.steps_done] for job in batch], rows),
        Tensor(np.concatenate([job.draws[job.steps_done] for job in batch])),
        *company.joined,
        *(job.latents for job in batch),
    )
    after = {
        index: replace(
            jobs[index],
            latents=latents[place],
            steps_done=jobs[index].steps_done + 1,
            company=company,
        )
        for place, index in enumerate(order)
    }
    return [after[index] for index in range(len(jobs))]


def finish_prior(model: PriorModel, job: PriorJob) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The embedding and the negative embedding of a job that is done, each (1, dim).

    Raises:
        NonFiniteError: the prior produced NaN or infinity.
    """
    embeds = model.denormalise(job.latents)
    return embeds[:1], embeds[1:] if len(embeds) > 1 else model.zero_embedding


def _join(model: PriorModel, items: Sequence[PriorConditioning]) -> tuple[Tensor, ...]:
    """What a step takes of a batch: embeds, hidden states, mask. Guided jobs come first."""
    unconditional = [text for item in items if item.guided for text in item.texts[: item.rows]]
    conditional = [text for item in items for text in item.texts[-item.rows :]]
    return joined(model.join, [(text.embeds, text.hidden_states, text.mask) for text in unconditional + conditional])


def _for_rows(values: Sequence[npt.ArrayLike], rows: Sequence[int]) -> Tensor:
    """Each job's value for each of its rows: (rows of all jobs, …) float32."""
    return Tensor(np.repeat(np.array(values, np.float32), rows, 0))
