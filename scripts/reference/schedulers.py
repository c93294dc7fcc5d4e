"""Schedulers alone: their tables, and trajectories under recorded model outputs and noise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, SchedulerMixin, UnCLIPScheduler

from scripts.reference.arrays import Array, Arrays
from scripts.reference.noise import numpy_noise
from scripts.reference.pipelines import Pipelines

_SAMPLE_SHAPE = (2, 4, 2, 3)
_EMBEDDING_SHAPE = (2, 12)


@dataclass(frozen=True)
class Trajectory:
    """The last `run` of `steps` timesteps with one scheduler; `learned`: the model's output has a variance half."""

    name: str
    scheduler: SchedulerMixin
    steps: int
    run: int
    shape: tuple[int, ...] = _SAMPLE_SHAPE
    learned: bool = False


def scheduler_tables(pipelines: Pipelines) -> Arrays:
    """Timesteps and cumulated alphas of both pipelines' schedulers."""
    ddim, unclip = pipelines.decoder.scheduler, pipelines.prior.scheduler
    arrays: Arrays = {}
    for name, scheduler, counts in (("ddim", ddim, (10, 100)), ("unclip", unclip, (25,))):
        arrays[f"{name}.alphas_cumprod"] = scheduler.alphas_cumprod.numpy()
        for steps in counts:
            scheduler.set_timesteps(steps)
            arrays[f"{name}.timesteps_{steps}"] = scheduler.timesteps.numpy()
    return arrays


def trajectories(pipelines: Pipelines) -> list[Trajectory]:
    """The prior's scheduler, and every scheduler that the decoder can be given, built from its scheduler's config."""
    ddim = pipelines.decoder.scheduler.config

    def ddpm(variance_type: str) -> DDPMScheduler:
        return DDPMScheduler.from_config(ddim, variance_type=variance_type)

    def dpm(spacing: str) -> DPMSolverMultistepScheduler:
        return DPMSolverMultistepScheduler.from_config(
            ddim, algorithm_type="dpmsolver++", solver_order=2, lower_order_final=True, timestep_spacing=spacing
        )

    unclip = UnCLIPScheduler.from_config(pipelines.prior.scheduler.config)
    return [
        Trajectory("unclip_5", unclip, 5, 5, _EMBEDDING_SHAPE),
        Trajectory("unclip_25", unclip, 25, 25, _EMBEDDING_SHAPE),
        Trajectory("ddim_10", DDIMScheduler.from_config(ddim), 10, 10),
        Trajectory("ddim_30_last_9", DDIMScheduler.from_config(ddim), 30, 9),
        Trajectory("ddpm_fixed_small_10", ddpm("fixed_small"), 10, 10),
        Trajectory("ddpm_fixed_small_30_last_9", ddpm("fixed_small"), 30, 9),
        Trajectory("ddpm_learned_range_10", ddpm("learned_range"), 10, 10, learned=True),
        Trajectory("ddpm_learned_range_30_last_9", ddpm("learned_range"), 30, 9, learned=True),
        Trajectory("dpm_leading_8", dpm("leading"), 8, 8),
        Trajectory("dpm_leading_20_last_6", dpm("leading"), 20, 6),
        Trajectory("dpm_linspace_8", dpm("linspace"), 8, 8),
        Trajectory("dpm_linspace_20_last_6", dpm("linspace"), 20, 6),
    ]


def describe(trajectory: Trajectory) -> dict[str, Any]:
    """What is needed to build the same scheduler and to run the same steps."""
    config = {key: value for key, value in trajectory.scheduler.config.items() if not key.startswith("_")}
    return {
        "name": trajectory.name,
        "class": type(trajectory.scheduler).__name__,
        "steps": trajectory.steps,
        "run": trajectory.run,
        "config": config,
    }


def run_trajectory(trajectory: Trajectory, seed: int) -> Arrays:
    """`sample` at the start, then for each step `timesteps`, `model_outputs`, `prev_samples`, and `noise` as drawn.

    Model outputs are drawn, not computed from the sample: so one wrong step does not make the next ones wrong, if they
    start from the recorded samples. A step that draws no noise (DDIM, DPM-Solver++, the last) has none recorded.
    """
    random = np.random.default_rng(seed)
    generator = np.random.default_rng(seed + 1)
    timesteps = _last_timesteps(trajectory)
    sample = random.standard_normal(trajectory.shape).astype(np.float32)
    outputs = [_draw_output(trajectory, random) for _ in timesteps]
    samples = [torch.from_numpy(sample)]
    with numpy_noise() as noise:
        for index, timestep in enumerate(timesteps):
            options = _step_options(trajectory.scheduler, timesteps, index)
            output = torch.from_numpy(outputs[index])
            step = trajectory.scheduler.step(output, timestep, samples[-1], generator=generator, **options)
            samples.append(step.prev_sample)
    arrays = {
        "timesteps": timesteps.numpy(),
        "sample": sample,
        "model_outputs": np.stack(outputs),
        "prev_samples": torch.stack(samples[1:]).numpy(),
    }
    return arrays | ({"noise": np.stack(noise)} if noise else {})


def _last_timesteps(trajectory: Trajectory) -> torch.Tensor:
    trajectory.scheduler.set_timesteps(trajectory.steps)
    return trajectory.scheduler.timesteps[-trajectory.run :]


def _draw_output(trajectory: Trajectory, random: np.random.Generator) -> Array:
    """Normal; a learned variance between the two bounds, in −1…1."""
    output = random.standard_normal(trajectory.shape)
    if trajectory.learned:
        output = np.concatenate([output, random.uniform(-1, 1, trajectory.shape)], axis=1)
    return output.astype(np.float32)


def _step_options(scheduler: SchedulerMixin, timesteps: torch.Tensor, index: int) -> dict[str, Any]:
    if not isinstance(scheduler, UnCLIPScheduler):
        return {}
    return {"prev_timestep": timesteps[index + 1] if index + 1 < len(timesteps) else None}  # as in the prior pipeline
