"""How image-to-image uses a schedule: which part of it is run, and how much noise the picture gets first."""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from kandinsky.errors import InputError
from kandinsky.schedulers.ancestral import ddpm_schedule
from kandinsky.schedulers.config import SchedulerConfig
from kandinsky.schedulers.ddim import ddim_schedule
from kandinsky.schedulers.dpm_solver import dpm_solver_schedule
from kandinsky.schedulers.schedule import Schedule


class SchedulerType(StrEnum):
    """The decoder's sampling methods."""

    DDIM = "DDIM"
    DDPM = "DDPM"
    DPM_SOLVER_PP_2M = "DPM-Solver++ (2M)"


def steps_run(steps: int, strength: float) -> int:
    """How many of a schedule's steps are run: int(steps · strength), as in the pipelines."""
    return min(int(steps * strength), steps)


def decoder_schedule(config: SchedulerConfig, kind: SchedulerType, steps: int, strength: float) -> Schedule:
    """The steps of one image: the last int(steps · strength) of a schedule of `steps`.

    Args:
        config: the checkpoint's.
        kind: the sampling method; all of them use the checkpoint's noise levels.
        steps: 1 … num_train_timesteps.
        strength: above 0, at most 1.

    Raises:
        InputError: steps or strength is out of range, or no step would be run; says which values work.
    """
    if not 1 <= steps <= config.num_train_timesteps:
        raise InputError("num_inference_steps", f"{steps} is outside 1 … {config.num_train_timesteps}")
    added_noise_timestep(config, strength)
    run = steps_run(steps, strength)
    if run < 1:
        raise InputError(
            "strength",
            f"{strength:g} of {steps} steps runs none; use num_inference_steps ≥ {_fewest_steps(strength)} "
            f"or strength ≥ {_least_strength(steps):g}",
        )
    plan = {
        SchedulerType.DDIM: ddim_schedule,
        SchedulerType.DDPM: ddpm_schedule,
        SchedulerType.DPM_SOLVER_PP_2M: dpm_solver_schedule,
    }
    return plan[kind](config, steps, run)


def added_noise_timestep(config: SchedulerConfig, strength: float) -> int:
    """The timestep whose noise level the picture gets: int(1000 · strength) - 2 (the original Kandinsky's formula).

    Raises:
        InputError: strength is not a number above 0 and at most 1, or so small that the timestep is below 0.
    """
    timestep = int(config.num_train_timesteps * strength) - 2 if 0.0 < strength <= 1.0 else -1
    if timestep < 0:
        smallest = 2 / config.num_train_timesteps
        raise InputError("strength", f"{strength:g} is outside {smallest:g} … 1")
    return timestep


def add_noise(
    latents: npt.NDArray[np.float32], noise: npt.NDArray[np.float32], timestep: int
) -> npt.NDArray[np.float32]:
    """Mix noise into latents at the level of a timestep, by the pipelines' own betas (0.0001 … 0.02, linear).

    Args:
        latents: any shape.
        noise: the same shape, standard normal.
        timestep: 0 … 999.
    """
    betas = np.linspace(0.0001, 0.02, 1000, dtype=np.float32).astype(np.float64)
    alpha = np.cumprod(1.0 - betas)[timestep]
    mixed = np.float32(alpha**0.5) * latents + np.float32((1 - alpha) ** 0.5) * noise
    return mixed.astype(np.float32)


def _fewest_steps(strength: float) -> int:
    steps = max(int(1 / strength), 1)
    while int(steps * strength) < 1:
        steps += 1
    return steps


def _least_strength(steps: int) -> float:
    """The smallest strength in thousandths that runs a step."""
    thousandths = -(-1000 // steps)
    while int(steps * (thousandths / 1000)) < 1:
        thousandths += 1
    return thousandths / 1000
