"""The steps around the networks: which evaluations are made, how guidance mixes them, what the scheduler is given."""

from dataclasses import replace

import numpy as np
import pytest
from mindspore import Tensor

from kandinsky.rows import Row, step_rows
from kandinsky.schedulers.img2img import SchedulerType
from kandinsky.schedulers.schedule import COLUMNS
from tests.kandinsky.models import Array, Models, check, request, start_from


@pytest.fixture
def learned(tiny: Models) -> Models:
    """The tiny checkpoint with a scheduler that reads the variance half of the UNet's output."""
    scheduler = replace(tiny.decoder.scheduler, variance_type="learned_range")
    return replace(tiny, decoder=replace(tiny.decoder, scheduler=scheduler))


def row_of(models: Models, guidance_scale: float) -> Row:
    asked = request(models.decoder, scheduler=SchedulerType.DDPM, strength=1.0, guidance_scale=guidance_scale, seed=1)
    return start_from(models.decoder, asked, models.reference.picture()).rows[0]


def predictions(models: Models, row: Row) -> Array:
    """The UNet's outputs for a row: unconditional first where there is guidance."""
    timesteps = Tensor(row.schedule.timesteps[row.steps_done : row.steps_done + 1].astype(np.float32))
    unet = models.decoder.unet.network
    outputs = [unet(row.latents, timesteps, added, tuple(text)).asnumpy() for added, *text in row.conditioning.halves]
    return np.concatenate(outputs)


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_a_step_guides_the_noise_and_takes_the_variance_of_the_conditional_half(
    guidance_scale: float, learned: Models
) -> None:
    row = row_of(learned, guidance_scale)
    output = predictions(learned, row)
    noise, variance = output[:, :4], output[-1:, 4:]
    guided = noise[:1] + guidance_scale * (noise[-1:] - noise[:1])
    c = dict(zip(COLUMNS, row.schedule.coefficients[0].astype(np.float64), strict=True))
    latents, draw = row.latents.asnumpy(), np.random.default_rng(1)
    draw.standard_normal(latents.shape)  # add_noise took the seed's first draw
    x0 = np.clip(c["sample_to_x0"] * latents + c["output_to_x0"] * guided, -c["clip"], c["clip"])
    spread = c["noise"] * np.exp(c["noise_by_variance"] * variance)
    expected = c["sample"] * latents + c["x0"] * x0 + spread * draw.standard_normal(latents.shape)
    assert c["noise_by_variance"] > 0

    (after,) = step_rows(learned.decoder, [row])
    check("latents", after.latents.asnumpy(), expected, relative=1e-5)
    check("clean latents", after.previous_x0.asnumpy(), x0, relative=1e-5)


def test_learned_variances_of_rows_in_company_are_their_own(learned: Models) -> None:
    rows = [row_of(learned, scale) for scale in (1.0, 3.0, 0.5, 6.0)]
    alone = [step_rows(learned.decoder, [row_of(learned, scale)])[0] for scale in (1.0, 3.0, 0.5, 6.0)]
    for together, by_itself in zip(step_rows(learned.decoder, rows), alone, strict=True):
        check("latents", together.latents.asnumpy(), by_itself.latents.asnumpy(), relative=1e-4)


def test_rows_come_back_in_the_order_they_were_given(tiny: Models) -> None:
    rows = [row_of(tiny, scale) for scale in (0.0, 5.0, 1.0, 2.0)]
    after = step_rows(tiny.decoder, rows)
    assert [row.conditioning.guidance_scale for row in after] == [0.0, 5.0, 1.0, 2.0]
    assert [row.steps_done for row in after] == [1] * 4
    assert [row.steps_done for row in rows] == [0] * 4, "a step must leave the rows it was given as they are"
