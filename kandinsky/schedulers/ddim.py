"""DDIM, deterministic (η = 0): arXiv:2010.02502, formula (12), as diffusers' DDIMScheduler."""

from kandinsky.schedulers.config import SchedulerConfig
from kandinsky.schedulers.prediction import clip_range, epsilon_terms, spaced_timesteps, x0_terms
from kandinsky.schedulers.schedule import Schedule, StepCoefficients, schedule_of


def ddim_schedule(config: SchedulerConfig, steps: int, run: int) -> Schedule:
    """DDIM's schedule of `steps` timesteps, of which the last `run` are run."""
    alphas_cumprod = config.alphas_cumprod()
    last = 1.0 if config.set_alpha_to_one else float(alphas_cumprod[0])
    timesteps = spaced_timesteps(config, steps)[steps - run :]
    rows = []
    for t in timesteps:
        # Not the next timestep of the loop: diffusers steps back by the spacing, whatever the offset.
        previous = int(t) - config.num_train_timesteps // steps
        alpha_previous = float(alphas_cumprod[previous]) if previous >= 0 else last
        rows.append(_step(config, float(alphas_cumprod[t]), alpha_previous))
    return schedule_of(timesteps, rows)


def _step(config: SchedulerConfig, alpha: float, alpha_previous: float) -> StepCoefficients:
    direction = (1 - alpha_previous) ** 0.5
    by_sample, by_output = epsilon_terms(config.prediction_type, alpha)
    return StepCoefficients(
        *x0_terms(config.prediction_type, alpha),
        clip_range(config),
        sample=direction * by_sample,
        x0=alpha_previous**0.5,
        output=direction * by_output,
    )
