"""Everything that is written beside a checkpoint."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from scripts.reference.arrays import Arrays, number, save
from scripts.reference.defaults import default_cases, default_interpolations
from scripts.reference.networks import draw_inputs, run_networks
from scripts.reference.pictures import draw_sketch, preprocess, read_picture
from scripts.reference.pipelines import Case, Pipelines, load_pipelines, read_cases, run_case, run_interpolation
from scripts.reference.schedulers import describe, run_trajectory, scheduler_tables, trajectories
from scripts.reference.tokens import tokenize

_INPUTS_SEED = 5
_SKETCH = "sketch.png"


@dataclass(frozen=True)
class Job:
    """A loaded checkpoint, its folder, where the numbers go, and where the networks' inputs come from, if not drawn."""

    pipelines: Pipelines
    folder: Path
    out: Path
    inputs: Path | None

    @property
    def cases(self) -> list[Case]:
        """The folder's cases, or the default ones."""
        return read_cases(self.folder / "cases.json", default_cases(self.pipelines))


def write_golden(folder: Path, out: Path, inputs: Path | None, parts: Sequence[str]) -> None:
    """Writes `parts` of what diffusers computes with the checkpoint in `folder` to `out`.

    Pictures and cases are read from `folder`, and made there where they are missing. The networks' inputs are taken
    from the safetensors file `inputs`, or drawn.
    """
    if not (folder / _SKETCH).exists():
        draw_sketch(folder / _SKETCH)
    out.mkdir(parents=True, exist_ok=True)
    job = Job(load_pipelines(folder), folder, out, inputs)
    for part in parts:
        PARTS[part](job)


def _write_tokens(job: Job) -> None:
    _save_json(job.out / "tokens.json", tokenize(job.pipelines))


def _write_preprocessing(job: Job) -> None:
    sketch = read_picture(job.folder / _SKETCH)
    save(job.out / "preprocessing.safetensors", preprocess(sketch, job.pipelines.prior.image_processor))


def _write_networks(job: Job) -> None:
    prompts = list(dict.fromkeys(case["prompt"] for case in job.cases))
    inputs = load_file(job.inputs) if job.inputs else draw_inputs(job.pipelines, prompts, _INPUTS_SEED)
    outputs = run_networks(job.pipelines, inputs)
    save(job.out / "networks.safetensors", {**inputs, **outputs, **scheduler_tables(job.pipelines)})


def _write_schedulers(job: Job) -> None:
    arrays: Arrays = {}
    runs = trajectories(job.pipelines)
    for seed, trajectory in enumerate(runs):
        arrays |= {f"{trajectory.name}.{key}": array for key, array in run_trajectory(trajectory, 100 * seed).items()}
    save(job.out / "schedulers.safetensors", arrays)
    _save_json(job.out / "schedulers.json", [describe(run) for run in runs])


def _write_pipelines(job: Job) -> None:
    save(job.out / "pipelines.safetensors", number(run_case(job.pipelines, case, job.folder) for case in job.cases))


def _write_interpolations(job: Job) -> None:
    mixes = read_cases(job.folder / "interpolations.json", default_interpolations())
    results = number(run_interpolation(job.pipelines, mix, job.folder) for mix in mixes)
    save(job.out / "interpolate.safetensors", results)


def _save_json(file: Path, rows: list[dict[str, Any]]) -> None:
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    file.write_text(f"[\n{lines}\n]\n")


PARTS: dict[str, Callable[[Job], None]] = {
    "tokens": _write_tokens,
    "preprocessing": _write_preprocessing,
    "networks": _write_networks,
    "schedulers": _write_schedulers,
    "pipelines": _write_pipelines,
    "interpolate": _write_interpolations,
}
