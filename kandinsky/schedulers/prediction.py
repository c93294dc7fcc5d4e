"""What the decoder's schedulers share: which timesteps they visit, and what the network's output says of x0."""

import numpy as np
import numpy.typing as npt

from kandinsky.schedulers.config import SchedulerConfig
from kandinsky.schedulers.schedule import UNCLIPPED


def spaced_timesteps(config: SchedulerConfig, steps: int) -> npt.NDArray[np.int64]:
    """Falling timesteps spread over the training range (table 2 of arXiv:2305.08891): (steps,)."""
    total = config.num_train_timesteps
    if config.timestep_spacing == "linspace":
        return np.linspace(0, total - 1, steps).round()[::-1].astype(np.int64)
    if config.timestep_spacing == "leading":
        return (np.arange(steps)[::-1] * (total // steps)).astype(np.int64) + config.steps_offset
    return np.round(np.arange(total, 0, -total / steps)).astype(np.int64) - 1


def x0_terms(prediction_type: str, alpha: float) -> tuple[float, float]:
    """Coefficients of sample and output in the clean latents; alpha is ᾱ at the timestep."""
    signal, noise = alpha**0.5, (1 - alpha) ** 0.5
    if prediction_type == "epsilon":
        return 1 / signal, -noise / signal
    if prediction_type == "v_prediction":
        return signal, -noise
    return 0.0, 1.0


def epsilon_terms(prediction_type: str, alpha: float) -> tuple[float, float]:
    """Coefficients of sample and output in the noise; alpha is ᾱ at the timestep."""
    signal, noise = alpha**0.5, (1 - alpha) ** 0.5
    if prediction_type == "epsilon":
        return 0.0, 1.0
    if prediction_type == "v_prediction":
        return noise, signal
    return 1 / noise, -signal / noise


def clip_range(config: SchedulerConfig) -> float:
    """How far from zero the clean latents may be."""
    return config.clip_sample_range if config.clip_sample else UNCLIPPED
