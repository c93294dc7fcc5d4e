"""The container files: linted, and their build steps carried out in a folder and an environment instead of an image.

No image can be built where these tests run. The steps are the files' own: COPY and RUN of the build stage, with
/src and /opt/kandinsky moved to a temporary folder.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from cluster import IMAGE
from rendering import CHART, ROOT

FILES = sorted((ROOT / "containers").glob("*.Dockerfile"))


def instructions(file: Path) -> list[tuple[str, str]]:
    """Instruction and arguments of each line, continued lines joined and comments left out."""
    text = re.sub(r"^#.*\n", "", file.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line]


def build_stage(file: Path) -> list[tuple[str, str]]:
    """The instructions of the stage called build."""
    stages = instructions(file)
    begin = stages.index(("FROM", "${BASE_IMAGE} AS build"))
    end = stages.index(("FROM", "${BASE_IMAGE}"))
    return stages[begin + 1 : end]


def carry_out(file: Path, folder: Path) -> Path:
    """Does what the build stage does; the environment's folder."""
    source, environment = folder / "src", folder / "venv"
    source.mkdir()
    for instruction, arguments in build_stage(file):
        if instruction == "COPY":
            *names, target = arguments.split()
            for name in names:
                _copy(ROOT / name, source / target, into=target.endswith("/"))
        if instruction == "RUN":
            command = re.sub(r"--mount=\S+ ", "", arguments).replace("/opt/kandinsky/venv", str(environment))
            quiet = {"PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "CANN_PACKAGES": ""}
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            environ = {**os.environ, **quiet, "PATH": path}
            environ.pop("PYTHONPATH", None)
            subprocess.run(["/bin/sh", "-c", command], cwd=source, env=environ, check=True)
    return environment


def _copy(source: Path, target: Path, into: bool) -> None:
    if into:
        target.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def run(environment: Path, *command: str) -> str:
    """A command of the environment, far from the repository."""
    program = [str(environment / "bin" / command[0]), *command[1:]]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(program, cwd=environment, env=environ, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_linter_has_nothing_to_say(file: Path) -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([linter, "--failure-threshold", "style", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_image_runs_as_the_user_whom_the_chart_names(file: Path) -> None:
    users = [arguments for instruction, arguments in instructions(file) if instruction == "USER"]
    wanted = yaml.safe_load((CHART / "values.yaml").read_text())["podSecurity"]
    assert users == [f"{wanted['runAsUser']}:{wanted['runAsGroup']}"]


def test_a_worker_without_the_chart_has_a_home_that_it_can_write_to() -> None:
    variables = dict(
        variable.split("=", 1)
        for instruction, arguments in instructions(ROOT / "containers" / "worker.Dockerfile")
        if instruction == "ENV"
        for variable in arguments.split()
    )
    assert variables["HOME"] == "/tmp"  # noqa: S108 - the one folder that is writable


def test_the_demo_is_where_the_chart_looks_for_it() -> None:
    copies = [arguments for instruction, arguments in instructions(ROOT / "containers" / "worker.Dockerfile")]
    ((inside, outside),) = IMAGE.items()
    assert f"{outside.relative_to(ROOT)} {inside}" in copies


def test_the_gateways_image_installs_and_has_no_mindspore(tmp_path: Path) -> None:
    environment = carry_out(ROOT / "containers" / "gateway.Dockerfile", tmp_path)
    assert "--decoder" in run(environment, "kandinsky-gateway", "--help")
    installed = run(environment, "pip", "list")
    assert "redis" in installed
    assert "mindspore" not in installed


def test_the_workers_image_installs_and_has_all_commands(tmp_path: Path) -> None:
    environment = carry_out(ROOT / "containers" / "worker.Dockerfile", tmp_path)
    for command in ("kandinsky-prior", "kandinsky-decoder"):
        assert "--model" in run(environment, command, "--help")
    assert "--manifest" in run(environment, "kandinsky-weights", "download", "--help")
    assert "mindspore" in run(environment, "pip", "list")
    assert list(environment.glob("lib/python*/site-packages/kandinsky/cpu_kernels/*.cc")), "what is built on first use"
