"""DPM-Solver++ (2M), for few steps: arXiv:2211.01095, algorithm 2, as diffusers' DPMSolverMultistepScheduler.

Order two needs the x0 of the step before, so the first step is of order one; so is the last, which goes to noise zero.
"""

import math

import numpy as np
import numpy.typing as npt

from kandinsky.schedulers.config import SchedulerConfig
from kandinsky.schedulers.prediction import check_timesteps, trailing_timesteps, x0_terms
from kandinsky.schedulers.schedule import Schedule, StepCoefficients, schedule_of


def dpm_solver_schedule(config: SchedulerConfig, steps: int, run: int) -> Schedule:
    """The schedule of `steps` timesteps, of which the last `run` are run."""
    alphas_cumprod = config.alphas_cumprod()
    timesteps = _timesteps(config, steps)[-run:]
    alphas = [float(alphas_cumprod[t]) for t in timesteps]
    rows = [_last(config, alphas[index]) if index == run - 1 else _step(config, alphas, index) for index in range(run)]
    return schedule_of(timesteps, rows)


def _timesteps(config: SchedulerConfig, steps: int) -> npt.NDArray[np.int64]:
    """The scheduler's own spacing: one more point than steps, and the lowest left out."""
    total = config.num_train_timesteps
    if config.timestep_spacing == "linspace":
        timesteps = np.linspace(0, total - 1, steps + 1).round()[::-1][:-1].astype(np.int64)
    elif config.timestep_spacing == "leading":
        timesteps = (np.arange(steps + 1)[::-1][:-1] * (total // (steps + 1))).astype(np.int64) + config.steps_offset
    else:
        timesteps = trailing_timesteps(total, steps)
    return check_timesteps(timesteps, total)


def _log_snr(alpha: float) -> float:
    """λ of the paper: half the log of the signal-to-noise ratio."""
    return 0.5 * math.log(alpha / (1 - alpha))


def _step(config: SchedulerConfig, alphas: list[float], index: int) -> StepCoefficients:
    alpha, target = alphas[index], alphas[index + 1]
    h = _log_snr(target) - _log_snr(alpha)
    weight = -math.sqrt(target) * math.expm1(-h)
    # The correction of order two, D1/2, is (x0 - previous x0) / 2r.
    correction = 0.0
    if index > 0:
        correction = 0.5 * h / (_log_snr(alpha) - _log_snr(alphas[index - 1]))
    return StepCoefficients(
        *x0_terms(config.prediction_type, alpha),
        sample=math.sqrt((1 - target) / (1 - alpha)),
        x0=weight * (1 + correction),
        previous_x0=-weight * correction,
    )


def _last(config: SchedulerConfig, alpha: float) -> StepCoefficients:
    """To noise zero: the result is x0 itself."""
    return StepCoefficients(*x0_terms(config.prediction_type, alpha), x0=1.0)
