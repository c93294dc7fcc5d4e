"""Every scheduler step by step against diffusers' own, then what holds for any number of steps and any mix of rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from kandinsky.errors import InputError
from kandinsky.noise import MAX_SEED, generators, standard_normal
from kandinsky.schedulers.ancestral import ddpm_schedule, prior_schedule
from kandinsky.schedulers.config import SchedulerConfig
from kandinsky.schedulers.ddim import ddim_schedule
from kandinsky.schedulers.dpm_solver import dpm_solver_schedule
from kandinsky.schedulers.img2img import SchedulerType, add_noise, added_noise_timestep, decoder_schedule, steps_run
from kandinsky.schedulers.schedule import COLUMNS, Schedule
from kandinsky.schedulers.step import advance
from tests.kandinsky.models import CHECKPOINTS, Array, Reference, check

PLANS: dict[str, Callable[[SchedulerConfig, int, int], Schedule]] = {
    "UnCLIPScheduler": lambda config, steps, _: prior_schedule(config, steps),
    "DDIMScheduler": ddim_schedule,
    "DDPMScheduler": ddpm_schedule,
    "DPMSolverMultistepScheduler": dpm_solver_schedule,
}
TRAJECTORIES = [(name, entry) for name in CHECKPOINTS for entry in Reference(name).json("schedulers.json")]
KANDINSKY = {"beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False, "steps_offset": 0}


def config_of(**changes: Any) -> SchedulerConfig:
    return SchedulerConfig.from_dict(KANDINSKY | changes, "DDIMScheduler")


def step(coefficients: Array, *samples: Array) -> tuple[Array, Array]:
    """advance() on arrays: sample, output, variance, previous x0, draw."""
    following, x0 = advance(*(Tensor(np.ascontiguousarray(item, np.float32)) for item in (coefficients, *samples)))
    return following.asnumpy(), x0.asnumpy()


@pytest.mark.parametrize(("checkpoint", "entry"), TRAJECTORIES, ids=[f"{c}-{e['name']}" for c, e in TRAJECTORIES])
def test_each_step_is_the_one_of_diffusers(checkpoint: str, entry: dict[str, Any]) -> None:
    name = entry["name"]
    prefix = f"{name}."
    arrays = Reference(checkpoint).arrays("schedulers")
    given = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    config = SchedulerConfig.from_dict(entry["config"], entry["class"])
    schedule = PLANS[entry["class"]](config, entry["steps"], entry["run"])
    np.testing.assert_array_equal(schedule.timesteps, given["timesteps"])

    sample, draws = given["sample"], iter(given.get("noise", ()))
    previous_x0 = np.zeros_like(sample)
    channels = sample.shape[1]
    for index, (output, expected) in enumerate(zip(given["model_outputs"], given["prev_samples"], strict=True)):
        variance = output[:, channels:] if output.shape != sample.shape else np.zeros_like(sample)
        draw = next(draws) if schedule.draws[index] else np.full_like(sample, 1e3)
        coefficients = np.repeat(schedule.coefficients[index][None], len(sample), 0)
        result, previous_x0 = step(coefficients, sample, output[:, :channels], variance, previous_x0, draw)
        check(f"{checkpoint} {name} step {index}", result, expected, relative=1e-6)
        sample = expected
    assert next(draws, None) is None, "diffusers drew more often"


def test_tables_and_timesteps_are_those_of_diffusers(reference: Reference) -> None:
    given = reference.arrays("networks")
    prior = SchedulerConfig.from_dict(reference.json("prior/scheduler/scheduler_config.json"), "UnCLIPScheduler")
    decoder = SchedulerConfig.from_dict(reference.json("decoder/scheduler/scheduler_config.json"), "DDIMScheduler")
    check("unCLIP's ᾱ", prior.alphas_cumprod(), given["unclip.alphas_cumprod"], relative=1e-7)
    check("DDIM's ᾱ", decoder.alphas_cumprod(), given["ddim.alphas_cumprod"], relative=1e-7)
    np.testing.assert_array_equal(prior_schedule(prior, 25).timesteps, given["unclip.timesteps_25"])
    for steps in (10, 100):
        np.testing.assert_array_equal(ddim_schedule(decoder, steps, steps).timesteps, given[f"ddim.timesteps_{steps}"])


def test_rows_of_different_schedulers_and_timesteps_advance_as_each_alone() -> None:
    prior = SchedulerConfig.from_dict({}, "UnCLIPScheduler")
    learned = config_of(variance_type="learned_range")
    coefficients = np.stack(
        [
            ddim_schedule(config_of(), 50, 50).coefficients[7],
            ddpm_schedule(learned, 10, 10).coefficients[3],
            dpm_solver_schedule(config_of(), 20, 15).coefficients[14],
            dpm_solver_schedule(config_of(), 20, 15).coefficients[5],
            prior_schedule(prior, 25).coefficients[24],
            ddim_schedule(config_of(clip_sample=True), 1000, 1000).coefficients[999],
        ]
    )
    samples = np.random.default_rng(1).standard_normal((5, len(coefficients), 4, 3, 2)).astype(np.float32)
    together = step(coefficients, *samples)
    for row in range(len(coefficients)):
        alone = step(coefficients[row : row + 1], *samples[:, row : row + 1])
        for result, expected in zip(together, alone, strict=True):
            check(f"row {row}", result[row : row + 1], expected, relative=1e-6)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("kind", list(SchedulerType))
def test_any_number_of_steps_makes_a_falling_schedule(kind: SchedulerType, spacing: str) -> None:
    config = config_of(timestep_spacing=spacing, steps_offset=1)
    # 61, 79 and 998 are some of those that rounding gives a timestep too many when they trail.
    for steps in (1, 2, 3, 7, 10, 50, 61, 79, 100, 333, 500, 501, 998):
        schedule = decoder_schedule(config, kind, steps, 1.0)
        assert len(schedule) == steps
        assert 0 <= schedule.timesteps[-1] <= schedule.timesteps[0] < 1000
        assert (np.diff(schedule.timesteps) < 0).all()
        assert np.isfinite(schedule.coefficients).all()


@pytest.mark.parametrize(
    ("kind", "spacing"),
    [
        (SchedulerType.DDIM, "leading"),
        (SchedulerType.DDPM, "leading"),
        (SchedulerType.DPM_SOLVER_PP_2M, "leading"),
        (SchedulerType.DPM_SOLVER_PP_2M, "linspace"),
    ],
)
def test_steps_that_offset_and_spacing_leave_no_room_for_are_refused(kind: SchedulerType, spacing: str) -> None:
    config = config_of(timestep_spacing=spacing, steps_offset=1)
    with pytest.raises(InputError, match="num_inference_steps: 1000 do not fit this scheduler; 500 or fewer do"):
        decoder_schedule(config, kind, 1000, 0.5)


@pytest.mark.parametrize("steps", [2, 3, 25, 999, 1000])
def test_the_prior_runs_from_the_last_training_timestep_to_the_first(steps: int) -> None:
    schedule = prior_schedule(SchedulerConfig.from_dict({}, "UnCLIPScheduler"), steps)
    assert (len(schedule), schedule.timesteps[0], schedule.timesteps[-1]) == (steps, 999, 0)
    np.testing.assert_array_equal(schedule.draws, [True] * (steps - 1) + [False])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(("steps", "run"), [(1, 1), (2, 2), (12, 11)])
@pytest.mark.parametrize("kind", [SchedulerType.DDIM, SchedulerType.DPM_SOLVER_PP_2M])
def test_a_perfect_network_leads_back_to_the_clean_latents(
    kind: SchedulerType, steps: int, run: int, prediction: str
) -> None:
    # Along the way every x is √ᾱ x0 + √(1-ᾱ) ε of one and the same x0 and ε: nothing of diffusers is needed to see it.
    config = config_of(prediction_type=prediction, set_alpha_to_one=True)
    schedule = {SchedulerType.DDIM: ddim_schedule, SchedulerType.DPM_SOLVER_PP_2M: dpm_solver_schedule}[kind](
        config, steps, run
    )
    clean, noise = np.random.default_rng(2).standard_normal((2, 1, 4, 3, 3))
    alphas = config.alphas_cumprod()[schedule.timesteps]
    sample, previous_x0 = alphas[0] ** 0.5 * clean + (1 - alphas[0]) ** 0.5 * noise, np.zeros_like(clean)
    for alpha, coefficients in zip(alphas, schedule.coefficients, strict=True):
        velocity = alpha**0.5 * noise - (1 - alpha) ** 0.5 * clean
        output = {"epsilon": noise, "v_prediction": velocity, "sample": clean}[prediction]
        zero = np.zeros_like(clean)
        sample, previous_x0 = step(coefficients[None], sample, output, zero, previous_x0, zero)
    np.testing.assert_allclose(sample, clean, rtol=0, atol=1e-4)


def test_clipping_bounds_the_clean_latents() -> None:
    coefficients = ddim_schedule(config_of(clip_sample=True, clip_sample_range=0.5), 10, 10).coefficients[:1]
    sample = np.full((1, 4, 2, 2), 9.0)
    _, x0 = step(coefficients, sample, sample * 0, sample * 0, sample * 0, sample * 0)
    np.testing.assert_allclose(x0, 0.5)


def test_only_ancestral_steps_draw_and_never_the_last_one() -> None:
    assert not decoder_schedule(config_of(), SchedulerType.DDIM, 20, 0.5).draws.any()
    assert not decoder_schedule(config_of(), SchedulerType.DPM_SOLVER_PP_2M, 20, 0.5).draws.any()
    np.testing.assert_array_equal(
        decoder_schedule(config_of(), SchedulerType.DDPM, 20, 0.5).draws, [True] * 9 + [False]
    )


def test_a_learned_variance_is_used_where_the_scheduler_learns_one() -> None:
    fixed = ddpm_schedule(config_of(), 10, 10).coefficients[:, COLUMNS["noise_by_variance"]]
    learned = ddpm_schedule(config_of(variance_type="learned_range"), 10, 10).coefficients
    assert not fixed.any()
    assert learned[:-1, COLUMNS["noise_by_variance"]].all()


@pytest.mark.parametrize(
    ("steps", "strength", "run"), [(100, 0.3, 30), (10, 0.3, 3), (50, 0.29, 14), (20, 0.7, 14), (7, 1.0, 7), (1, 1, 1)]
)
def test_strength_runs_the_last_part_of_the_schedule(steps: int, strength: float, run: int) -> None:
    whole, part = (decoder_schedule(config_of(), SchedulerType.DDIM, steps, share) for share in (1.0, strength))
    assert steps_run(steps, strength) == len(part) == run
    np.testing.assert_array_equal(part.timesteps, whole.timesteps[steps - run :])
    np.testing.assert_array_equal(part.coefficients, whole.coefficients[steps - run :])


@pytest.mark.parametrize(("strength", "timestep"), [(0.002, 0), (0.3, 298), (0.7, 698), (1.0, 998)])
def test_noise_is_added_at_the_timestep_of_the_original_kandinsky(strength: float, timestep: int) -> None:
    assert added_noise_timestep(config_of(), strength) == timestep


def test_added_noise_follows_the_pipelines_own_betas_not_the_schedulers() -> None:
    latents, noise = np.random.default_rng(3).standard_normal((2, 1, 4, 3, 3)).astype(np.float32)
    for timestep in (0, 298, 998):
        alpha = np.prod(1 - np.linspace(0.0001, 0.02, 1000)[: timestep + 1])
        expected = alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise
        mixed = add_noise(latents, noise, timestep)
        assert mixed.dtype == np.float32
        np.testing.assert_allclose(mixed, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [0, -3, 1001])
def test_a_number_of_steps_out_of_range_is_refused(steps: int) -> None:
    with pytest.raises(InputError, match=f"num_inference_steps: {steps} is outside 1 … 1000"):
        decoder_schedule(config_of(), SchedulerType.DDIM, steps, 1.0)


@pytest.mark.parametrize("steps", [1, 0, 1001])
def test_a_number_of_prior_steps_out_of_range_is_refused(steps: int) -> None:
    with pytest.raises(InputError, match=f"prior_steps: {steps} is outside 2 … 1000"):
        prior_schedule(SchedulerConfig.from_dict({}, "UnCLIPScheduler"), steps)


@pytest.mark.parametrize("strength", [0.0, -0.5, 0.0019, 1.0001, float("nan"), float("inf")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(InputError, match=r"strength: .* is outside 0\.002 … 1"):
        decoder_schedule(config_of(), SchedulerType.DDIM, 1000, strength)


@pytest.mark.parametrize(("steps", "strength"), [(10, 0.05), (1, 0.999), (3, 0.3), (30, 0.03), (499, 0.002)])
def test_a_strength_that_runs_no_step_is_refused_with_values_that_work(steps: int, strength: float) -> None:
    with pytest.raises(InputError) as caught:
        decoder_schedule(config_of(), SchedulerType.DDIM, steps, strength)
    assert caught.value.field == "strength"
    fewest, least = (part.split()[0] for part in str(caught.value).split("≥ ")[1:])
    assert len(decoder_schedule(config_of(), SchedulerType.DDIM, int(fewest), strength)) == 1
    assert len(decoder_schedule(config_of(), SchedulerType.DDIM, steps, float(least))) == 1
    assert steps_run(int(fewest) - 1, strength) == steps_run(steps, float(least) - 0.001) == 0


def test_noise_is_numpys_of_the_seed_cast_to_float32() -> None:
    first, second = generators(7, 2)
    for generator, seed in ((first, 7), (second, 8)):
        own = np.random.default_rng(seed)
        for shape in ((1, 4, 3, 2), (2, 5)):
            draw = standard_normal(generator, shape)
            assert draw.dtype == np.float32
            np.testing.assert_array_equal(draw, own.standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize(("seed", "count"), [(-1, 1), (2**64, 1), (MAX_SEED, 2)])
def test_a_seed_out_of_range_is_refused(seed: int, count: int) -> None:
    with pytest.raises(InputError, match=f"seed: {seed} is outside 0 … {MAX_SEED - count + 1}"):
        generators(seed, count)


def test_the_smallest_and_the_largest_seed_are_seeds() -> None:
    assert len(generators(0, 1) + generators(MAX_SEED, 1)) == 2
