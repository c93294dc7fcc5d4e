"""The schedulers' configs (scheduler/scheduler_config.json) and the noise levels they describe."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kandinsky.config import one_of, read_config
from kandinsky.errors import ComponentClassError, ConfigError

DECODER_CLASSES = ("DDIMScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler")
PRIOR_CLASSES = ("UnCLIPScheduler",)

_NAME = "scheduler"
# The pipelines add noise to the picture by a table of so many levels (`add_noise`).
_MOST_TIMESTEPS = 1000
# Supported in one form only. The last group are DPM-Solver's, in the values of its 2M form.
_FIXED: dict[str, tuple[Any, ...]] = {
    "rescale_betas_zero_snr": (False,),
    "thresholding": (False,),
    "trained_betas": (None,),
    "algorithm_type": ("dpmsolver++",),
    "euler_at_final": (False,),
    "final_sigmas_type": ("zero",),
    "lower_order_final": (True,),
    "solver_order": (2,),
    "solver_type": ("midpoint",),
    "use_beta_sigmas": (False, None),
    "use_dynamic_shifting": (False,),
    "use_exponential_sigmas": (False, None),
    "use_flow_sigmas": (False, None),
    "use_karras_sigmas": (False, None),
    "use_lu_lambdas": (False, None),
    # float("-inf"), as JSON has it.
    "lambda_min_clipped": (-math.inf, "-Infinity"),
}
_IRRELEVANT = frozenset({"dynamic_thresholding_ratio", "sample_max_value", "flow_shift", "time_shift_type"})
# What the classes of diffusers assume where a file leaves a key out.
_CLASS_DEFAULTS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": {},
    "DDPMScheduler": {},
    "DPMSolverMultistepScheduler": {"clip_sample": False, "timestep_spacing": "linspace"},
    "UnCLIPScheduler": {"beta_schedule": "squaredcos_cap_v2", "variance_type": "fixed_small_log"},
}


@dataclass(frozen=True)
class SchedulerConfig:
    """Keys of scheduler_config.json; defaults are those of diffusers' DDIMScheduler and DDPMScheduler."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    prediction_type: str = "epsilon"
    set_alpha_to_one: bool = True
    steps_offset: int = 0
    timestep_spacing: str = "leading"
    variance_type: str | None = "fixed_small"

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], class_name: str) -> "SchedulerConfig":
        """Read a config file's content.

        Args:
            raw: the content.
            class_name: the diffusers class it was saved from; it decides the defaults.

        Raises:
            ConfigError: see `read_config`.
            ComponentClassError: a scheduler that is not one of Kandinsky's.
        """
        if class_name not in _CLASS_DEFAULTS:
            known = ", ".join(_CLASS_DEFAULTS)
            raise ComponentClassError(f"{_NAME}: class {class_name} is not supported; supported: {known}")
        config = read_config(
            cls,
            _CLASS_DEFAULTS[class_name] | dict(raw),
            _NAME,
            fixed=_FIXED,
            irrelevant=_IRRELEVANT,
            from_zero={"steps_offset"},
        )
        prior = class_name in PRIOR_CLASSES
        schedules = ("squaredcos_cap_v2",) if prior else ("linear", "scaled_linear", "squaredcos_cap_v2")
        one_of(_NAME, "beta_schedule", config.beta_schedule, schedules)
        if not 1 <= config.num_train_timesteps <= _MOST_TIMESTEPS:
            raise ConfigError(
                f"{_NAME}: config num_train_timesteps={config.num_train_timesteps} is not supported; "
                f"supported: 1 … {_MOST_TIMESTEPS}"
            )
        one_of(_NAME, "prediction_type", config.prediction_type, ("epsilon", "sample", "v_prediction")[: 3 - prior])
        one_of(_NAME, "timestep_spacing", config.timestep_spacing, ("leading", "linspace", "trailing"))
        variances = ("fixed_small_log",) if prior else (None, "fixed_small", "fixed_small_log", "learned_range")
        one_of(_NAME, "variance_type", config.variance_type, variances)
        return config

    def alphas_cumprod(self) -> npt.NDArray[np.float64]:
        """ᾱ of every training timestep, (num_train_timesteps,): the share of signal that is left.

        Rounded to float32 where diffusers rounds: near timestep 0, where ᾱ is close to 1, its 1 - ᾱ is off by up to a
        thousandth, and the networks' outputs are weighted by that.
        """
        alphas = np.float32(1.0) - self.betas()
        return np.cumprod(alphas.astype(np.float64)).astype(np.float32).astype(np.float64)

    def betas(self) -> npt.NDArray[np.float32]:
        """β of every training timestep, (num_train_timesteps,), in float32 as the networks were trained with."""
        if self.beta_schedule == "linear":
            return np.linspace(self.beta_start, self.beta_end, self.num_train_timesteps, dtype=np.float32)
        if self.beta_schedule == "scaled_linear":
            roots = np.linspace(self.beta_start**0.5, self.beta_end**0.5, self.num_train_timesteps, dtype=np.float32)
            return np.square(roots)
        return _cosine_betas(self.num_train_timesteps)


def _cosine_betas(count: int) -> npt.NDArray[np.float32]:
    """The cosine schedule, capped (arXiv:2102.09672)."""

    def alpha_bar(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - alpha_bar((i + 1) / count) / alpha_bar(i / count), 0.999) for i in range(count)]
    return np.array(betas, np.float32)
