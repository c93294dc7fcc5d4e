"""Rows: one image of a request each, and the functions that start, step and finish them.

A row owns its latents, schedule, generator and conditioning; `step_rows` advances any rows of one shape together. Each
row's numbers are the same alone and in company.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from mindspore import Tensor

from kandinsky.company import Company, joined, keep_company, padded
from kandinsky.decoder_model import DecoderModel
from kandinsky.errors import InputError
from kandinsky.noise import standard_normal
from kandinsky.schedulers.schedule import Schedule


@dataclass(frozen=True)
class Conditioning:
    """What a row is steered by, free of the timestep.

    Attributes:
        halves: under guidance the unconditional one, then the conditional one; else that alone. Each is what
            `DecoderModel.condition` makes: `added`, then keys and values.
        guidance_scale: how far to go from the unconditional to the conditional prediction; used where there are both.
    """

    halves: tuple[tuple[Tensor, ...], ...]
    guidance_scale: float

    @property
    def guided(self) -> bool:
        """Whether there is an unconditional half."""
        return len(self.halves) == 2


@dataclass(frozen=True)
class Row:
    """One image on its way.

    Attributes:
        latents: (1, c, h, w) float32.
        previous_x0: (1, c, h, w) float32, the clean latents predicted by the last step.
        schedule: the steps to run.
        steps_done: how many of them are done.
        conditioning: what it is steered by.
        generator: where the schedule's draws come from; advanced by the steps that draw.
        company: the conditioning of all rows of its last step; None before the first.
    """

    latents: Tensor
    previous_x0: Tensor
    schedule: Schedule
    steps_done: int
    conditioning: Conditioning
    generator: np.random.Generator
    company: Company[Conditioning] | None = None

    @property
    def done(self) -> bool:
        """Whether only decoding is left."""
        return self.steps_done == len(self.schedule)

    def draw(self) -> npt.NDArray[np.float32]:
        """The next step's noise, (1, c, h, w); zeros, and no draw, where the step takes none."""
        if not self.schedule.draws[self.steps_done]:
            return np.zeros(self.latents.shape, np.float32)
        return standard_normal(self.generator, tuple(self.latents.shape))


def start_row(
    latents: npt.NDArray[np.float32], schedule: Schedule, conditioning: Conditioning, generator: np.random.Generator
) -> Row:
    """A row before its first step, from its noised latents (1, c, h, w)."""
    tensor = Tensor(latents)
    return Row(tensor, tensor, schedule, 0, conditioning, generator)


def resume_row(
    row: Row, steps_done: int, latents: npt.NDArray[np.float32], previous_x0: npt.NDArray[np.float32] | None
) -> Row:
    """A row as it was after some steps, for going on where another process stopped.

    Args:
        row: the row before its first step, from `start_row`; its generator draws and drops what those steps drew.
        steps_done: 0 … the schedule's length.
        latents: (1, c, h, w), after those steps.
        previous_x0: (1, c, h, w), the last of their predictions; None where the scheduler takes one step at a time.

    Raises:
        InputError: steps or shapes do not fit the row.
    """
    shape = tuple(row.latents.shape)
    if not 0 <= steps_done <= len(row.schedule):
        raise InputError("steps_done", f"{steps_done} is outside 0 … {len(row.schedule)}")
    if latents.shape != shape:
        raise InputError("latents", f"have shape {latents.shape[1:]}; {shape[1:]} is needed")
    if previous_x0 is not None and previous_x0.shape != shape:
        raise InputError("previous_prediction", f"has shape {previous_x0.shape[1:]}; {shape[1:]} is needed")
    for _ in range(int(row.schedule.draws[:steps_done].sum())):
        standard_normal(row.generator, shape)
    x0 = latents if previous_x0 is None else previous_x0
    return replace(row, latents=Tensor(latents), previous_x0=Tensor(x0), steps_done=steps_done)


def step_rows(model: DecoderModel, rows: Sequence[Row], size: int | None = None) -> list[Row]:
    """Advance rows by one step, in one batch.

    Args:
        model: the decoder.
        rows: rows of one latent shape, none of them done.
        size: rows to fill the batch up to, so that it has a shape that is compiled; None for no more than there are.

    Returns:
        The rows after the step, in the order given.
    """
    order = sorted(range(len(rows)), key=lambda index: not rows[index].conditioning.guided)
    batch = padded([rows[index] for index in order], size)
    conditioning = [row.conditioning for row in batch]
    company = keep_company(batch[0].company, conditioning, lambda items: _join(model, items))
    stepped = model.step(
        Tensor(np.array([row.schedule.timesteps[row.steps_done] for row in batch], np.float32)),
        Tensor(np.array([each.guidance_scale for each in conditioning], np.float32)),
        Tensor(np.stack([row.schedule.coefficients[row.steps_done] for row in batch])),
        Tensor(_draws(batch, len(rows))),
        company.joined[0],
        *(row.latents for row in batch),
        *(row.previous_x0 for row in batch),
        *company.joined[1:],
    )
    after = {
        index: replace(
            rows[index],
            latents=stepped[place],
            previous_x0=stepped[len(batch) + place],
            steps_done=rows[index].steps_done + 1,
            company=company,
        )
        for place, index in enumerate(order)
    }
    return [after[index] for index in range(len(rows))]


def finish_row(model: DecoderModel, row: Row) -> npt.NDArray[np.float32]:
    """The picture of a row that is done: (3, h, w), about −1 … 1.

    Raises:
        NonFiniteError: the networks produced NaN or infinity.
    """
    return model.decode_image(row.latents)[0]


def _draws(batch: Sequence[Row], real: int) -> npt.NDArray[np.float32]:
    """The step's noise; what only fills the batch up draws nothing."""
    draws = np.zeros((len(batch), *batch[0].latents.shape[1:]), np.float32)
    for place, row in enumerate(batch[:real]):
        draws[place] = row.draw()[0]
    return draws


def _join(model: DecoderModel, items: Sequence[Conditioning]) -> tuple[Tensor, ...]:
    """What a step takes of a batch: `added`, then keys and values. Guided rows come first."""
    unconditional = [item.halves[0] for item in items if item.guided]
    return joined(model.join, [*unconditional, *(item.halves[-1] for item in items)])
