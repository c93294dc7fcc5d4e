"""What loading asks of the machine: a compiler once where there are fast paths, and else none."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file
from stand_in_compilers import StandInCompilers

from kandinsky.cpu_kernels import Library
from kandinsky.loading import Runtime
from kandinsky.ops import kernels_for
from kandinsky.prior_model import PRIOR_COMPONENTS, PriorModel, load_prior
from tests.kandinsky.models import REFERENCE
from worker.config import WorkerConfig
from worker.loading import load_model

TOKENS = "text_model.embeddings.token_embedding.weight"


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """The tiny prior with float16 files."""
    folder = shutil.copytree(REFERENCE / "tiny" / "prior", tmp_path / "prior")
    for path in folder.glob("*/*.safetensors"):
        save_file({name: array.astype(np.float16) for name, array in load_file(path).items()}, path)
    return folder


def check_tokens(model: PriorModel, folder: Path) -> None:
    expected: npt.NDArray[np.float16] = load_file(folder / "text_encoder" / "model.safetensors")[TOKENS]
    values = dict(model.text_encoder.network.parameters_and_names())[TOKENS].asnumpy()
    np.testing.assert_array_equal(values, expected.astype(np.float32))


@pytest.mark.parametrize("fast_paths", [True, False])
def test_a_worker_looks_for_a_compiler_once_or_without_fast_paths_never(
    fast_paths: bool, halves: Path, library: Library, stand_in_compilers: StandInCompilers
) -> None:
    stand_in_compilers.add_copier("c++", library.path)
    config = WorkerConfig(model=str(halves), fast_paths=fast_paths)
    model = load_model(config, PRIOR_COMPONENTS, load_prior).model
    assert stand_in_compilers.calls == (["c++ --version", "c++ -std=c++17"] if fast_paths else [])
    check_tokens(model, halves)


def test_an_ascend_worker_looks_for_no_compiler(halves: Path, stand_in_compilers: StandInCompilers) -> None:
    stand_in_compilers.add("c++", "exit 1")
    model = load_prior(halves, Runtime(kernels_for("Ascend")))
    assert stand_in_compilers.calls == []
    check_tokens(model, halves)


def test_weights_are_widened_by_the_kernels_they_are_loaded_for(halves: Path) -> None:
    widened: list[int] = []

    def widen(half: npt.NDArray[np.float16], target: npt.NDArray[np.float32]) -> bool:
        widened.append(half.size)
        target[...] = half
        return True

    check_tokens(load_prior(halves, Runtime(replace(kernels_for("CPU"), widen=widen))), halves)
    assert sum(widened) == sum(
        array.size for path in halves.glob("*/*.safetensors") for array in load_file(path).values()
    )
