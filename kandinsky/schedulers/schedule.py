"""The common form of all schedulers here: timesteps and, for each, the coefficients of one linear step.

DDIM, DDPM, DPM-Solver++ (2M) and unCLIP differ in their formulas for the coefficients only. A step of any of them is

    x0   = clip(sample_to_x0 · x + output_to_x0 · output, ± clip)
    next = sample · x + x0 · x0 + output · output + previous_x0 · previous x0
           + noise · exp(noise_by_variance · variance) · draw

with x the current sample, output the network's prediction, variance the half of it that predicts a variance (else 0),
and draw standard normal noise. So rows of one batch may differ in timestep, number of steps and even in scheduler.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt

# What stands for "no clipping": no latent gets near it, and it is finite in float32.
UNCLIPPED = 1e30


@dataclass(frozen=True)
class StepCoefficients:
    """One row's coefficients of one step; the module's text says what each multiplies."""

    sample_to_x0: float
    output_to_x0: float
    clip: float = UNCLIPPED
    sample: float = 0.0
    x0: float = 0.0
    output: float = 0.0
    previous_x0: float = 0.0
    noise: float = 0.0
    noise_by_variance: float = 0.0


COLUMNS = {field.name: index for index, field in enumerate(fields(StepCoefficients))}
"""Column of each coefficient in `Schedule.coefficients`."""


@dataclass(frozen=True)
class Schedule:
    """The steps of one image, in the order they are run.

    Attributes:
        timesteps: (n,) int64, falling, each 0 … num_train_timesteps - 1.
        coefficients: (n, 9) float32, columns as `COLUMNS`.
        draws: (n,) bool, whether the step draws noise; a generator is advanced at those steps only.
    """

    timesteps: npt.NDArray[np.int64]
    coefficients: npt.NDArray[np.float32]
    draws: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.timesteps)


def schedule_of(timesteps: npt.NDArray[np.int64], steps: Sequence[StepCoefficients]) -> Schedule:
    """Assemble a schedule; a step draws noise where its noise coefficient is not zero."""
    table = np.array([astuple(step) for step in steps], np.float64).astype(np.float32)
    return Schedule(timesteps, table, table[:, COLUMNS["noise"]] != 0.0)
