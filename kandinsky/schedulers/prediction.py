"""What the decoder's schedulers share: which timesteps they visit, and what the network's output says of x0."""

import numpy as np
import numpy.typing as npt

from kandinsky.errors import InputError
from kandinsky.schedulers.config import SchedulerConfig
from kandinsky.schedulers.schedule import UNCLIPPED


def spaced_timesteps(config: SchedulerConfig, steps: int) -> npt.NDArray[np.int64]:
    """Falling timesteps spread over the training range (table 2 of arXiv:2305.08891): (steps,).

    Raises:
        InputError: the training range has not as many timesteps.
    """
    total = config.num_train_timesteps
    if config.timestep_spacing == "linspace":
        timesteps = np.linspace(0, total - 1, steps).round()[::-1].astype(np.int64)
    elif config.timestep_spacing == "leading":
        timesteps = (np.arange(steps)[::-1] * (total // steps)).astype(np.int64) + config.steps_offset
    else:
        timesteps = trailing_timesteps(total, steps)
    return check_timesteps(timesteps, total)


def trailing_timesteps(total: int, steps: int) -> npt.NDArray[np.int64]:
    """Spaced from the last training timestep down. NumPy's range may round its way to one value too many."""
    return np.arange(total, 0, -total / steps)[:steps].round().astype(np.int64) - 1


def check_timesteps(timesteps: npt.NDArray[np.int64], total: int) -> npt.NDArray[np.int64]:
    """The timesteps, if they fall and lie in the training range; a spacing and an offset may not leave room for all.

    Raises:
        InputError: they do not.
    """
    if timesteps[0] >= total or (np.diff(timesteps) >= 0).any():
        steps = len(timesteps)
        raise InputError("num_inference_steps", f"{steps} do not fit this scheduler; {total // 2} or fewer do")
    return timesteps


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
