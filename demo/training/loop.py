"""The one training loop: AdamW, warm-up and cosine, a moving average of the weights, resumable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

Loss = Callable[[int], torch.Tensor]  # step → scalar loss
_SAVE_EVERY_SECONDS = 120.0


@dataclass(frozen=True)
class Stage:
    """How long and how fast one network is trained."""

    name: str
    steps: int
    batch: int
    learning_rate: float


@dataclass
class Run:
    """Where and on what the stages run; measured: seconds for each stage, written into the report."""

    work: Path
    device: torch.device
    seed: int
    deadline: float = math.inf
    measured: dict[str, dict[str, float]] = field(default_factory=dict)

    def generator(self, name: str, step: int) -> torch.Generator:
        """The random stream of one step: a resumed stage draws what an uninterrupted one would have drawn."""
        seed = self.seed * 1_000_003 + sum(ord(c) * 257**i for i, c in enumerate(name[:4])) + step * 7_919
        return torch.Generator(self.device).manual_seed(seed % 2**63)


class OutOfTimeError(Exception):
    """The run's time is up; what was reached is on disk and the same command goes on from there."""


def train(stage: Stage, model: nn.Module, loss: Loss, run: Run) -> None:
    """Trains a model in place and leaves it with its averaged weights, frozen.

    Args:
        stage: Steps, batch and learning rate; the batch is the loss's business.
        model: On the run's device. Its state in the work folder, where there is one, is taken up.
        loss: Called once a step.
        run: Work folder and device.

    Raises:
        OutOfTimeError: The run's deadline passed; the state is saved.
    """
    path = run.work / f"{stage.name}.pt"
    parameters = [p for p in model.parameters() if p.requires_grad]
    fused = run.device.type == "cuda"
    optimizer = torch.optim.AdamW(parameters, lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=fused)
    average = [p.detach().clone() for p in parameters]
    step = _resume(path, model, optimizer, average)
    model.train()
    began = saved = time.monotonic()
    first = step
    while step < stage.steps:
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * _schedule(step, stage.steps)
        value = loss(step)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        decay = min(0.9995, (step + 1) / (step + 10))
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1.0 - decay)
        step += 1
        if step % 200 == 0:
            rate = (step - first) / (time.monotonic() - began)
            print(f"{stage.name} {step}/{stage.steps} loss {value.item():.4f} {rate:.1f} steps/s", flush=True)
        now = time.monotonic()
        if now - saved > _SAVE_EVERY_SECONDS or now > run.deadline:
            _save(path, model, optimizer, average, step)
            saved = now
        if now > run.deadline and step < stage.steps:
            raise OutOfTimeError(f"{stage.name} stopped at step {step} of {stage.steps}")
    if step > first:
        _save(path, model, optimizer, average, step)
        run.measured[stage.name] = {"steps": step - first, "batch": stage.batch, "seconds": time.monotonic() - began}
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    model.eval().requires_grad_(False)


def _schedule(step: int, steps: int) -> float:
    warm_up = min(1.0, (step + 1) / min(500, max(1, steps // 10)))
    return warm_up * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * step / steps)))


def _save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: list[torch.Tensor], step: int
) -> None:
    state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
    unfinished = path.with_suffix(".unfinished")
    torch.save(state, unfinished)
    unfinished.replace(path)


def _resume(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: list[torch.Tensor]) -> int:
    """The step to go on from."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location=average[0].device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for mean, saved in zip(average, state["average"], strict=True):
        mean.copy_(saved)
    return int(state["step"])
