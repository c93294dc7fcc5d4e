"""The command line, through three server processes, gives what diffusers computed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from processes import TINY
from safetensors.numpy import load_file

CASES = json.loads((TINY / "cases.json").read_text())


def _flags(case: dict[str, Any]) -> list[str]:
    named = {
        "width": case["width"],
        "height": case["height"],
        "steps": case["steps"],
        "strength": case["strength"],
        "guidance-scale": case["guidance"],
        "prior-steps": case["prior_steps"],
        "prior-guidance-scale": case["prior_guidance"],
        "seed": case["seed"],
    }
    if case["negative_prompt"] is not None:
        named["negative-prompt"] = case["negative_prompt"]
    return [part for name, value in named.items() for part in (f"--{name}", str(value))]


@pytest.mark.parametrize("index", range(len(CASES)))
def test_the_command_line_gives_the_reference_picture(index: int, address: str, tmp_path: Path) -> None:
    case = CASES[index]
    out, grid = tmp_path / "out.png", tmp_path / "grid.png"
    command = ["img2img", "--server", address, "--prompt", case["prompt"], "--image", str(TINY / case["image"])]
    paths = ["--out", str(out), "--grid", str(grid)]
    finished = subprocess.run(
        [sys.executable, "-m", "kandinsky_client.cli", *command, *paths, *_flags(case)], capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    reference = np.round(load_file(TINY / "pipelines.safetensors")[f"{index}.image"] * 255)
    with Image.open(out) as picture, Image.open(grid) as both:
        difference = np.abs(np.asarray(picture, np.float64) - reference)
        assert both.width >= 2 * case["width"]
    assert difference.max() <= 2
    assert difference.mean() <= 0.1
    assert str(case["seed"]) in finished.stdout + finished.stderr
