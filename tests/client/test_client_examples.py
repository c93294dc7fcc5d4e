"""The examples in clients/python/examples run, where no worker is installed, and are typed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.fake_service import FakeImageService, picture_file, progress, queued

EXAMPLES = Path(__file__).parents[2] / "clients/python/examples"
# What each is called with, and the end of what it prints.
RUNS = {
    "img2img.py": (["sketch.png", "out.png"], "seed 1234, 4 steps, 3.5 s"),
    "progress.py": (["sketch.png", "."], "waiting for the decoder, 2 ahead\n1/2\n2/2"),
    "variations.py": (["sketch.png", "."], "4 pictures"),
    "arrays.py": (["."], "(1, 2) (48, 64, 3)"),
    "errors.py": (["sketch.png"], "params.strength 1.5 is outside 0.002 … 1"),
}
# Put in front of everything: importing what only workers need is an error.
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"mindspore", "safetensors", "tokenizers", "huggingface_hub"}:
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.parametrize("name", RUNS)
def test_an_example_runs_without_the_worker_extra(
    name: str, server: str, service: FakeImageService, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sketch.png").write_bytes(picture_file())
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    service.news = [queued(), progress(1, 2, preview=True), progress(2, 2)]
    arguments, printed = RUNS[name]
    settings = {"KANDINSKY_SERVER": server, "PYTHONPATH": f"{tmp_path}:{environment['PYTHONPATH']}"}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    finished = subprocess.run(command, env=environment | settings, cwd=tmp_path, capture_output=True, text=True)
    assert (finished.stdout.strip(), finished.stderr) == (printed, "")


def test_the_blocker_blocks(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    settings = {"PYTHONPATH": f"{tmp_path}:{environment['PYTHONPATH']}"}
    command = [sys.executable, "-c", "import mindspore"]
    finished = subprocess.run(command, env=environment | settings, capture_output=True, text=True)
    assert "mindspore is not installed" in finished.stderr


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(RUNS)


def test_the_examples_are_typed() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--scripts-are-modules", *map(str, EXAMPLES.glob("*.py"))]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES.parents[2])
    assert finished.returncode == 0, finished.stdout
