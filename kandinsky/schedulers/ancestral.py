"""The stochastic schedulers: unCLIP's, for the prior, and DDPM, for the decoder (arXiv:2006.11239).

Both sample from the posterior q(x_prev | x, x0); they differ in which timesteps they visit.
"""

import numpy as np
import numpy.typing as npt

from kandinsky.errors import InputError
from kandinsky.schedulers.config import SchedulerConfig
from kandinsky.schedulers.prediction import clip_range, spaced_timesteps, x0_terms
from kandinsky.schedulers.schedule import Schedule, StepCoefficients, schedule_of

# diffusers takes the logarithm of variances no smaller than this.
_SMALLEST_VARIANCE = 1e-20


def prior_schedule(config: SchedulerConfig, steps: int) -> Schedule:
    """The schedule of unCLIP: steps timesteps from the last training timestep to 0, both included.

    Raises:
        InputError: steps is below 2 or above the number of training timesteps.
    """
    if not 2 <= steps <= config.num_train_timesteps:
        raise InputError("prior_steps", f"{steps} is outside 2 … {config.num_train_timesteps}")
    spacing = (config.num_train_timesteps - 1) / (steps - 1)
    timesteps = (np.arange(steps) * spacing).round()[::-1].astype(np.int64)
    betas = config.betas().astype(np.float64)
    levels = _levels(config, timesteps)
    rows = []
    for t, previous, (alpha, alpha_previous) in zip(timesteps, np.append(timesteps[1:], -1), levels, strict=True):
        # diffusers reads β from its table between neighbours; the rounded ᾱ would give another one next to 0.
        beta = float(betas[t]) if previous == t - 1 else _beta(alpha, alpha_previous)
        rows.append(_posterior_step(config, int(t), alpha, alpha_previous, beta))
    return schedule_of(timesteps, rows)


def ddpm_schedule(config: SchedulerConfig, steps: int, run: int) -> Schedule:
    """DDPM's schedule of `steps` timesteps, of which the last `run` are run."""
    timesteps = spaced_timesteps(config, steps)[steps - run :]
    rows = [
        _posterior_step(config, int(t), alpha, alpha_previous, _beta(alpha, alpha_previous))
        for t, (alpha, alpha_previous) in zip(timesteps, _levels(config, timesteps), strict=True)
    ]
    return schedule_of(timesteps, rows)


def _levels(config: SchedulerConfig, timesteps: npt.NDArray[np.int64]) -> list[tuple[float, float]]:
    """ᾱ at each timestep and at the one that follows it in the loop; after the last one there is no noise left."""
    alphas = config.alphas_cumprod()[timesteps].tolist()
    return list(zip(alphas, [*alphas[1:], 1.0], strict=True))


def _beta(alpha: float, alpha_previous: float) -> float:
    """β of the way between two levels, rounded to float32 as in diffusers: from a level of almost no signal it is 1."""
    return float(np.float32(1) - np.float32(alpha) / np.float32(alpha_previous))


def _posterior_step(
    config: SchedulerConfig, t: int, alpha: float, alpha_previous: float, beta: float
) -> StepCoefficients:
    """Formula (7) of the paper; β is that of the whole way from alpha_previous to alpha."""
    sample_to_x0, output_to_x0 = x0_terms(config.prediction_type, alpha)
    small = max((1 - alpha_previous) / (1 - alpha) * beta, _SMALLEST_VARIANCE)
    noise, by_variance = 0.0, 0.0
    if t > 0 and config.variance_type == "learned_range":
        # The network's v in −1 … 1 moves the log of the variance between its bounds.
        low, high = np.log(small), np.log(beta)
        noise, by_variance = float(np.exp((low + high) / 4)), float((high - low) / 4)
    elif t > 0:
        noise = small**0.5
    return StepCoefficients(
        sample_to_x0,
        output_to_x0,
        clip_range(config),
        sample=(1 - beta) ** 0.5 * (1 - alpha_previous) / (1 - alpha),
        x0=alpha_previous**0.5 * beta / (1 - alpha),
        noise=noise,
        noise_by_variance=by_variance,
    )
